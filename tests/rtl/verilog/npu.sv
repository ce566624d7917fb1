// The part of a core that the referee judges: mxu, vpu as drain of ACC, SPM and ACC.
//
// One command runs at a time; the next is taken in the last cycle of the one before. A command is
// 16 words: opcode (0 mma, 1 drain), then its fields in the order of `bench.cpp`. The memories are
// filled and read by the bench. Counters at the end watch what the cost formulas do not model.
module npu #(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int DOUBLE_BUFFER = 1,
    parameter int BUSES = 2,
    parameter int SPM_BYTES = 16384,
    parameter int SPM_BANKS = 4,
    parameter int SPM_WIDTH = 16,
    parameter int ACC_WORDS = 2048,
    parameter int ACC_BANKS = 2,
    parameter int LANES = 8,
    parameter int CHAIN = 4,
    parameter int START_UP = 8
) (
    input  logic clk,
    input  logic reset,
    input  logic [3:0] fault,
    input  logic fold_overlap,
    input  logic [31:0] weight_num, weight_den, turned_num, turned_den,
    input  logic command_valid,
    output logic command_ready,
    input  logic [15:0][31:0] command,
    output logic [31:0] acc_overloads, acc_collisions, spm_collisions
);
  localparam int MAX_OPS = 8;
  logic [7:0] spm[SPM_BYTES]  /*verilator public_flat_rw*/;
  logic [31:0] acc[ACC_WORDS]  /*verilator public_flat_rw*/;

  wire is_drain = command[0][0];
  wire mxu_ready, vpu_ready;
  assign command_ready = mxu_ready && vpu_ready;

  // --- mxu ---
  logic [ROWS-1:0] a_want, a_granted;
  logic [ROWS-1:0][31:0] a_address;
  logic [ROWS-1:0][7:0] a_data;
  logic [BUSES-1:0] w_want;
  logic [BUSES-1:0][COLS-1:0] w_lane;
  logic [BUSES-1:0][COLS-1:0][31:0] w_address;
  logic [BUSES-1:0][COLS-1:0][7:0] w_data;
  logic acc_read, acc_write;
  logic [31:0] acc_read_base, acc_write_base;
  logic [COLS-1:0] acc_write_lane;
  logic [COLS-1:0][31:0] acc_read_data, acc_write_data;

  mxu #(
      .ROWS(ROWS), .COLS(COLS), .DOUBLE_BUFFER(DOUBLE_BUFFER), .BUSES(BUSES),
      .SPM_BANKS(SPM_BANKS), .SPM_WIDTH(SPM_WIDTH), .ACC_BANKS(ACC_BANKS)
  ) matrix (
      .clk, .reset, .fault, .fold_overlap, .weight_num, .weight_den, .turned_num, .turned_den,
      .valid(command_valid && command_ready && !is_drain),
      .ready(mxu_ready),
      .extent_m(command[1]), .extent_k(command[2]), .extent_n(command[3]),
      .a_base(command[4]), .a_stride_m(command[5]), .a_stride_k(command[6]),
      .w_base(command[7]), .w_stride_k(command[8]), .w_stride_n(command[9]),
      .acc_base(command[10]), .acc_stride(command[11]),
      .accumulate(command[12][0]), .transposed(command[12][1]),
      .a_want, .a_address, .a_granted, .a_data, .w_want, .w_lane, .w_address, .w_data,
      .acc_read, .acc_read_base, .acc_read_data,
      .acc_write, .acc_write_base, .acc_write_lane, .acc_write_data
  );

  // --- vpu ---
  logic [LANES-1:0] read_want, read_granted, write_want, write_granted;
  logic [LANES-1:0][31:0] read_address, read_data, write_address;
  logic [LANES-1:0][7:0] write_data;

  vpu_drain #(
      .LANES(LANES), .CHAIN(CHAIN), .START_UP(START_UP), .ACC_WIDTH(COLS),
      .MAX_OPS(MAX_OPS)
  ) vector (
      .clk, .reset, .fault,
      .valid(command_valid && command_ready && is_drain),
      .ready(vpu_ready),
      .extent_m(command[1]), .extent_n(command[2]),
      .acc_base(command[3]), .acc_stride_m(command[4]), .acc_stride_n(command[5]),
      .spm_base(command[6]), .spm_stride_m(command[7]), .spm_stride_n(command[8]),
      .op_count(command[9]), .program_ops(command[10]),
      .program_params({command[14], command[13], command[12], command[11]}),
      .read_want, .read_address, .read_granted, .read_data,
      .write_want, .write_address, .write_data, .write_granted
  );

  // --- memories: a bank serves one word per cycle ---
  bank_grant #(.N(ROWS), .BANKS(SPM_BANKS), .WIDTH(SPM_WIDTH)) a_banks (
      .want(a_want), .address(a_address), .granted(a_granted));
  bank_grant #(.N(LANES), .BANKS(ACC_BANKS), .WIDTH(COLS)) read_banks (
      .want(read_want), .address(read_address), .granted(read_granted));
  bank_grant #(.N(LANES), .BANKS(SPM_BANKS), .WIDTH(SPM_WIDTH)) write_banks (
      .want(write_want), .address(write_address), .granted(write_granted));

  always_comb begin
    for (int r = 0; r < ROWS; r++) a_data[r] = spm[a_address[r]%SPM_BYTES];
    for (int b = 0; b < BUSES; b++) begin
      for (int c = 0; c < COLS; c++) w_data[b][c] = spm[w_address[b][c]%SPM_BYTES];
    end
    for (int c = 0; c < COLS; c++) acc_read_data[c] = acc[(acc_read_base+32'(c))%ACC_WORDS];
    for (int l = 0; l < LANES; l++) read_data[l] = acc[read_address[l]%ACC_WORDS];
  end

  always_ff @(posedge clk) begin
    for (int c = 0; c < COLS; c++) begin
      if (acc_write && acc_write_lane[c]) acc[(acc_write_base+32'(c))%ACC_WORDS] <= acc_write_data[c];
    end
    for (int l = 0; l < LANES; l++) begin
      if (write_want[l] && write_granted[l]) spm[write_address[l]%SPM_BYTES] <= write_data[l];
    end
  end

  // --- what the formulas leave out, counted in cycles ---
  wire [31:0] read_word = acc_read_base / COLS;
  wire [31:0] write_word = acc_write_base / COLS;
  logic meets;
  always_comb begin
    meets = 1'b0;
    for (int r = 0; r < ROWS; r++) begin
      for (int b = 0; b < BUSES; b++) begin
        for (int c = 0; c < COLS; c++) begin
          automatic logic [31:0] a_word = a_address[r] / SPM_WIDTH;
          automatic logic [31:0] w_word = w_address[b][c] / SPM_WIDTH;
          if (a_want[r] && a_granted[r] && w_lane[b][c] && a_word != w_word
              && a_word % SPM_BANKS == w_word % SPM_BANKS) begin
            meets = 1'b1;
          end
        end
      end
    end
  end

  always_ff @(posedge clk) begin
    if (reset) begin
      {acc_overloads, acc_collisions, spm_collisions} <= '0;
    end else begin
      acc_overloads <= acc_overloads + 32'(32'(acc_read) + 32'(acc_write) > ACC_BANKS);
      acc_collisions <= acc_collisions
          + 32'(acc_read && acc_write && read_word % ACC_BANKS == write_word % ACC_BANKS);
      spm_collisions <= spm_collisions + 32'(meets);
    end
  end
endmodule
