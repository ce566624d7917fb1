// The matrix engine: folds over the array, weight loads, streaming rows, sums into ACC.
//
// Rules, as the manual gives them (cost of mma, weight stationary):
//  - folds ascend, n outer, k inner; only the rows that a fold uses are loaded, WEIGHT_NUM rows in
//    WEIGHT_DEN cycles (TURNED_* where W is transposed), from the cycle in which the load may start;
//  - with a double buffer a load may start when the fold before starts to stream; without, when
//    the array is empty;
//  - a fold may stream when its weights are in and, with FOLD_OVERLAP, the stream before is over;
//    without, when the array is empty;
//  - a row is fetched in `pitch` cycles and enters the array in the last of them; `pitch` is one
//    number per command: the most words of one SPM bank in any fold of a row that starts
//    word-aligned, at least what ACC's banks need for one read and one write;
//  - the command is over when its last row of sums is written.
// `fault` breaks one rule each, so that a test can see that breaking it is seen.
module mxu #(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int DOUBLE_BUFFER = 1,
    parameter int BUSES = 1,
    parameter int SPM_BANKS = 4,
    parameter int SPM_WIDTH = 16,
    parameter int ACC_BANKS = 2
) (
    input logic clk,
    input logic reset,
    input logic [3:0] fault,
    input logic fold_overlap,
    input logic [31:0] weight_num, weight_den, turned_num, turned_den,

    input  logic valid,
    output logic ready,
    input logic [31:0] extent_m, extent_k, extent_n,
    input logic [31:0] a_base, a_stride_m, a_stride_k,
    input logic [31:0] w_base, w_stride_k, w_stride_n,
    input logic [31:0] acc_base, acc_stride,
    input logic accumulate, transposed,

    output logic [ROWS-1:0]                  a_want,
    output logic [ROWS-1:0][31:0]            a_address,
    input  logic [ROWS-1:0]                  a_granted,
    input  logic [ROWS-1:0][7:0]             a_data,
    output logic [BUSES-1:0]                 w_want,
    output logic [BUSES-1:0][COLS-1:0]       w_lane,
    output logic [BUSES-1:0][COLS-1:0][31:0] w_address,
    input  logic [BUSES-1:0][COLS-1:0][7:0]  w_data,

    output logic acc_read,
    output logic [31:0] acc_read_base,
    input  logic [COLS-1:0][31:0] acc_read_data,
    output logic acc_write,
    output logic [31:0] acc_write_base,
    output logic [COLS-1:0] acc_write_lane,
    output logic [COLS-1:0][31:0] acc_write_data
);
  localparam int ROW_BITS = $clog2(ROWS) == 0 ? 1 : $clog2(ROWS);
  localparam int DEPTH = ROWS + COLS - 2;  // cycles from a row's entry to its row of sums

  localparam logic [3:0] LOAD_TOO_SHORT = 1, NO_WEIGHT_SKEW = 2, NO_FORWARD = 3,
      ALWAYS_OVERWRITE = 4, STREAM_EARLY = 5;

  // --- the command ---
  logic busy, adds, turned;
  logic [31:0] m, k, n, pitch;
  logic [31:0] a_at, a_m, a_k, w_at, w_k, w_n, c_at, c_m;

  // --- loader: the fold whose weights come next, and how far they are ---
  logic load_left, load_active, loaded;
  logic [31:0] load_n, load_k, load_row, load_credit;

  // --- streamer: the fold that streams, or will ---
  logic streaming;
  logic [31:0] stream_n, stream_k, row, beat;
  logic [ROWS-1:0] fetched;
  logic [ROWS-1:0][7:0] row_buffer;

  // --- what travels with a row: where its sums go ---
  logic tag_valid[1:DEPTH], tag_adds[1:DEPTH];
  logic [31:0] tag_base[1:DEPTH];
  logic [COLS-1:0] tag_lane[1:DEPTH];
  logic [COLS-1:0][31:0] old_sums;

  function automatic logic [31:0] least(input logic [31:0] x, input logic [31:0] y);
    return x < y ? x : y;
  endfunction

  // The most words that one bank holds of a fold of the row, for the worst fold.
  function automatic logic [31:0] row_pitch(input logic [31:0] count, input logic [31:0] stride);
    logic [31:0] worst;
    worst = ACC_BANKS == 1 ? 2 : 1;
    for (int k0 = 0; k0 < int'(count); k0 += ROWS) begin
      automatic int per_bank[SPM_BANKS] = '{default: 0};
      for (int e = 0; e < ROWS && k0 + e < int'(count); e++) begin
        automatic int word = (k0 + e) * int'(stride) / SPM_WIDTH;
        automatic logic is_new = 1'b1;
        for (int f = 0; f < e; f++) begin
          if ((k0 + f) * int'(stride) / SPM_WIDTH == word) is_new = 1'b0;
        end
        if (is_new) per_bank[word%SPM_BANKS]++;
      end
      for (int b = 0; b < SPM_BANKS; b++) begin
        if (per_bank[b] > int'(worst)) worst = per_bank[b];
      end
    end
    return worst;
  endfunction

  // --- this cycle ---
  logic drained, start_stream, stream_on, enters, start_load, load_on, load_done, last_leaves;
  logic [31:0] load_rows, load_next, credit_next, fold_rows;
  logic [BUSES-1:0][ROW_BITS-1:0] bus_row;
  logic [ROWS-1:0] fetch_now;
  logic [ROWS-1:0][7:0] a_row;
  logic signed [COLS-1:0][31:0] sums;

  always_comb begin
    drained = 1'b1;
    for (int i = 1; i <= DEPTH; i++) if (tag_valid[i]) drained = 1'b0;
    last_leaves = tag_valid[DEPTH];
    for (int i = 1; i < DEPTH; i++) if (tag_valid[i]) last_leaves = 1'b0;
  end

  // Streaming: the row is gathered from SPM during its beats and enters in the last one.
  assign start_stream = busy && loaded && !streaming && (fold_overlap || drained);
  assign stream_on = streaming || start_stream;
  assign enters = stream_on && beat == pitch - 1;
  assign fold_rows = least(k - stream_k, ROWS);
  assign fetch_now = a_granted & a_want;

  always_comb begin
    for (int e = 0; e < ROWS; e++) begin
      a_want[e] = stream_on && 32'(e) < fold_rows && !(beat != 0 && fetched[e]);
      a_address[e] = a_at + row * a_m + (stream_k + 32'(e)) * a_k;
    end
  end

  always_comb begin
    for (int e = 0; e < ROWS; e++) begin
      a_row[e] = '0;
      if (enters && fetch_now[e]) a_row[e] = a_data[e];
      else if (enters && beat != 0 && fetched[e]) a_row[e] = row_buffer[e];
    end
  end

  // Loading: rows of W go out on the weight buses as fast as the rate allows.
  always_comb begin
    start_load = busy && load_left && !load_active
        && (DOUBLE_BUFFER != 0 ? !loaded || start_stream : !loaded && !streaming && drained);
    load_on = load_active || start_load;
    load_rows = least(k - load_k, ROWS);
    load_next = start_load ? 0 : load_row;
    credit_next = (start_load ? 0 : load_credit) + (turned ? turned_num : weight_num);
    for (int b = 0; b < BUSES; b++) begin
      w_want[b] = load_on && load_next < load_rows
          && credit_next >= (turned ? turned_den : weight_den);
      bus_row[b] = ROW_BITS'(load_next);
      for (int c = 0; c < COLS; c++) begin
        w_lane[b][c] = w_want[b] && load_n + 32'(c) < n;
        w_address[b][c] = w_at + (load_k + load_next) * w_k + (load_n + 32'(c)) * w_n;
      end
      if (w_want[b]) begin
        load_next = load_next + 1;
        credit_next = credit_next - (turned ? turned_den : weight_den);
      end
    end
    load_done = load_on
        && (load_next == load_rows || (fault == LOAD_TOO_SHORT && load_next + 1 == load_rows));
  end

  logic [BUSES-1:0][COLS-1:0][7:0] bus_data;
  always_comb begin
    for (int b = 0; b < BUSES; b++) begin
      for (int c = 0; c < COLS; c++) bus_data[b][c] = w_lane[b][c] ? w_data[b][c] : 8'd0;
    end
  end

  systolic_array #(
      .ROWS(ROWS), .COLS(COLS), .DOUBLE_BUFFER(DOUBLE_BUFFER), .BUSES(BUSES), .ROW_BITS(ROW_BITS)
  ) array (
      .clk,
      .skewed(fault != NO_WEIGHT_SKEW),
      .a_row,
      .first(start_stream),
      .bus_valid(w_want),
      .bus_row,
      .bus_data,
      .sums
  );

  // Sums: the old row is read one cycle ahead; a row written in that cycle is forwarded.
  always_comb begin
    acc_read = tag_valid[DEPTH-1] && tag_adds[DEPTH-1];
    acc_read_base = tag_base[DEPTH-1];
    acc_write = tag_valid[DEPTH];
    acc_write_base = tag_base[DEPTH];
    acc_write_lane = tag_lane[DEPTH];
    for (int c = 0; c < COLS; c++) begin
      acc_write_data[c] = sums[c] + (tag_adds[DEPTH] ? old_sums[c] : 0);
    end
  end

  logic is_empty;
  assign is_empty = m == 0 || k == 0 || n == 0;
  wire finishes = is_empty
      || (!load_left && !load_active && !loaded && !stream_on && last_leaves);
  assign ready = !busy || finishes;

  always_ff @(posedge clk) begin
    tag_valid[1] <= !reset && enters;
    tag_adds[1] <= (adds || stream_k != 0) && fault != ALWAYS_OVERWRITE;
    tag_base[1] <= c_at + row * c_m + stream_n;
    for (int c = 0; c < COLS; c++) tag_lane[1][c] <= stream_n + 32'(c) < n;
    for (int i = 2; i <= DEPTH; i++) begin
      tag_valid[i] <= !reset && tag_valid[i-1];
      tag_adds[i] <= tag_adds[i-1];
      tag_base[i] <= tag_base[i-1];
      tag_lane[i] <= tag_lane[i-1];
    end
  end

  always_ff @(posedge clk) begin
    for (int c = 0; c < COLS; c++) begin
      old_sums[c] <= acc_read_data[c];
      if (acc_write && acc_write_base == acc_read_base && fault != NO_FORWARD) begin
        old_sums[c] <= acc_write_data[c];
      end
    end
  end

  // The next fold after (n, k): k inner.
  logic load_ends, stream_ends;
  assign load_ends = load_k + ROWS >= k;
  assign stream_ends = stream_k + ROWS >= k;

  always_ff @(posedge clk) begin
    load_active <= load_on && !load_done;
    load_row <= load_next;
    load_credit <= credit_next;
    if (load_done) begin
      load_k <= load_ends ? 0 : load_k + ROWS;
      load_n <= load_ends ? load_n + COLS : load_n;
      load_left <= !(load_ends && load_n + COLS >= n);
    end
    loaded <= load_done || (loaded && !start_stream);

    fetched <= (beat == 0 ? '0 : fetched) | fetch_now;
    for (int e = 0; e < ROWS; e++) if (fetch_now[e]) row_buffer[e] <= a_data[e];
    if (stream_on) begin
      streaming <= 1'b1;
      beat <= enters ? 0 : beat + 1;
      if (enters) begin
        row <= row + 1;
        if (row + 1 == m || (fault == STREAM_EARLY && row + 2 == m)) begin
          row <= 0;
          streaming <= 1'b0;
          stream_k <= stream_ends ? 0 : stream_k + ROWS;
          stream_n <= stream_ends ? stream_n + COLS : stream_n;
        end
      end
    end

    if (reset) begin
      busy <= 1'b0;
      load_left <= 1'b0;
      load_active <= 1'b0;
      loaded <= 1'b0;
      streaming <= 1'b0;
    end else if (ready) begin
      busy <= valid;
      {m, k, n} <= {extent_m, extent_k, extent_n};
      {a_at, a_m, a_k} <= {a_base, a_stride_m, a_stride_k};
      {w_at, w_k, w_n} <= {w_base, w_stride_k, w_stride_n};
      {c_at, c_m} <= {acc_base, acc_stride};
      {adds, turned} <= {accumulate, transposed};
      if (valid) pitch <= row_pitch(extent_k, a_stride_k);
      load_left <= valid && extent_m != 0 && extent_k != 0 && extent_n != 0;
      load_active <= 1'b0;
      loaded <= 1'b0;
      {load_n, load_k, load_row, load_credit} <= '0;
      {stream_n, stream_k, row, beat} <= '0;
      streaming <= 1'b0;
    end
  end
endmodule
