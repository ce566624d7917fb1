// The vector engine as the drain of ACC: reads sums, requantises them, writes bytes to SPM.
//
// After the kernel has been fetched, three stages pass groups of LANES points along: READ gathers
// their sums, as ACC's banks allow; CHAIN runs the micro-ops, CHAIN of them per cycle, a kernel of
// more in several passes; WRITE scatters the bytes, as SPM's banks allow. A stage hands its group
// on when the next is free. The word that a stage touched last stays in its latch, so that a word
// that two groups share is read once. START_UP counts the fetch and one cycle each of READ and
// WRITE.
module vpu_drain
  import fp32::*;
#(
    parameter int LANES = 8,
    parameter int CHAIN = 4,
    parameter int START_UP = 8,
    parameter int ACC_WIDTH = 8,
    parameter int MAX_OPS = 8
) (
    input logic clk,
    input logic reset,
    input logic [3:0] fault,

    input  logic valid,
    output logic ready,
    input logic [31:0] extent_m, extent_n,
    input logic [31:0] acc_base, acc_stride_m, acc_stride_n,
    input logic [31:0] spm_base, spm_stride_m, spm_stride_n,
    input logic [31:0] op_count,
    input logic [MAX_OPS-1:0][3:0] program_ops,
    input logic [3:0][31:0] program_params,

    output logic [LANES-1:0]       read_want,
    output logic [LANES-1:0][31:0] read_address,
    input  logic [LANES-1:0]       read_granted,
    input  logic [LANES-1:0][31:0] read_data,
    output logic [LANES-1:0]       write_want,
    output logic [LANES-1:0][31:0] write_address,
    output logic [LANES-1:0][7:0]  write_data,
    input  logic [LANES-1:0]       write_granted
);
  localparam logic [3:0] TO_FLOAT = 1, MULTIPLY = 2, ROUND = 3, AT_LEAST = 4, AT_MOST = 5;
  localparam logic [3:0] ROUND_AWAY = 8, ONE_PASS = 9;

  logic busy;
  logic [31:0] m, n, c_at, c_m, c_n, s_at, s_m, s_n, ops, fetching;
  logic [MAX_OPS-1:0][3:0] kernel;
  logic [3:0][31:0] params;

  function automatic logic [31:0] operate(input logic [3:0] op, input logic [31:0] x,
                                          input logic [1:0] p, input logic [3:0][31:0] given,
                                          input logic away);
    case (op)
      TO_FLOAT: return int_to_float(x);
      MULTIPLY: return multiply(x, given[p]);
      ROUND: return round(x, away);
      AT_LEAST: return less(x, given[p]) ? given[p] : x;
      AT_MOST: return less(given[p], x) ? given[p] : x;
      default: return x;
    endcase
  endfunction

  // The parameter of each op: they are used in order.
  logic [MAX_OPS-1:0][1:0] param_of;
  always_comb begin
    logic [1:0] next;
    next = 0;
    for (int i = 0; i < MAX_OPS; i++) begin
      param_of[i] = next;
      if (kernel[i] inside {MULTIPLY, AT_LEAST, AT_MOST}) next = next + 1;
    end
  end

  // --- READ: where the next group stands in (m, n), and which of its sums have come ---
  logic [31:0] read_m, read_n;
  logic [LANES-1:0] read_valid, have;
  logic [LANES-1:0][31:0] read_buffer, sums, read_to;
  logic [31:0] latch_word, end_m, end_n;
  logic latch_valid, reading, read_done, chain_free, chain_done, write_free, write_done;
  logic [31:0] latch_next;

  always_comb begin
    end_m = read_m;
    end_n = read_n;
    for (int l = 0; l < LANES; l++) begin
      read_valid[l] = busy && fetching == 0 && end_m < m;
      read_address[l] = c_at + end_m * c_m + end_n * c_n;
      read_to[l] = s_at + end_m * s_m + end_n * s_n;
      if (end_m < m) begin
        end_n = end_n + 1;
        if (end_n == n) begin
          end_n = 0;
          end_m = end_m + 1;
        end
      end
    end
  end

  always_comb begin
    latch_next = latch_word;
    for (int l = 0; l < LANES; l++) begin
      read_want[l] = read_valid[l] && !have[l]
          && !(latch_valid && read_address[l] / ACC_WIDTH == latch_word);
      if (read_valid[l]) latch_next = read_address[l] / ACC_WIDTH;
    end
  end

  assign reading = read_valid[0];
  assign read_done = reading && chain_free && (read_want & ~read_granted) == 0;
  always_comb begin
    for (int l = 0; l < LANES; l++) sums[l] = have[l] ? read_buffer[l] : read_data[l];
  end

  // --- CHAIN ---
  logic chain_valid;
  logic [LANES-1:0] chain_lane;
  logic [LANES-1:0][31:0] values, passed, chain_to;
  logic [31:0] counter;

  always_comb begin
    passed = values;
    for (int l = 0; l < LANES; l++) begin
      for (int d = 0; d < CHAIN; d++) begin
        automatic int i = int'(counter) + d;
        if (i < int'(ops)) begin
          passed[l] = operate(kernel[i], passed[l], param_of[i], params, fault == ROUND_AWAY);
        end
      end
    end
    chain_done = chain_valid && write_free
        && (counter + CHAIN >= ops || fault == ONE_PASS);
    chain_free = !chain_valid || chain_done;
  end

  // --- WRITE ---
  logic write_valid;
  logic [LANES-1:0] write_left;

  always_comb begin
    write_want = write_valid ? write_left : '0;
    write_done = write_valid && (write_left & ~write_granted) == 0;
    write_free = !write_valid || write_done;
  end

  wire finishes = (m == 0 || n == 0) ? fetching == 0
      : fetching == 0 && !reading && !chain_valid && write_done;
  assign ready = !busy || finishes;

  always_ff @(posedge clk) begin
    if (fetching != 0) fetching <= fetching - 1;

    have <= read_done ? '0 : have | (read_granted & read_want);
    for (int l = 0; l < LANES; l++) begin
      if (!have[l] && (read_granted[l] || !read_want[l])) read_buffer[l] <= read_data[l];
      if (!read_want[l] && read_valid[l] && !read_done) have[l] <= 1'b1;
    end
    if (read_done) begin
      read_m <= end_m;
      read_n <= end_n;
      latch_valid <= 1'b1;
      latch_word <= latch_next;
    end

    if (read_done) begin
      chain_valid <= 1'b1;
      chain_lane <= read_valid;
      chain_to <= read_to;
      values <= sums;
      counter <= 0;
    end else if (chain_done) begin
      chain_valid <= 1'b0;
    end else if (chain_valid && counter + CHAIN < ops) begin
      values <= passed;
      counter <= counter + CHAIN;
    end

    write_left <= write_left & ~write_granted;
    if (chain_done) begin
      write_valid <= 1'b1;
      write_left <= chain_lane;
      write_address <= chain_to;
      for (int l = 0; l < LANES; l++) write_data[l] <= to_int8(passed[l]);
    end else if (write_done) begin
      write_valid <= 1'b0;
    end

    if (reset) begin
      busy <= 1'b0;
      chain_valid <= 1'b0;
      write_valid <= 1'b0;
    end else if (ready) begin
      busy <= valid;
      {m, n} <= {extent_m, extent_n};
      {c_at, c_m, c_n} <= {acc_base, acc_stride_m, acc_stride_n};
      {s_at, s_m, s_n} <= {spm_base, spm_stride_m, spm_stride_n};
      {ops, kernel, params} <= {op_count, program_ops, program_params};
      fetching <= START_UP - 2;
      {read_m, read_n, have} <= '0;
      latch_valid <= 1'b0;
      chain_valid <= 1'b0;
      write_valid <= 1'b0;
    end
  end
endmodule
