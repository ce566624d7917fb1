// The weight registers of one cell and its tap on the column's weight bus.
//
// A bus word is meant for the row that it names. With DOUBLE_BUFFER words go to the shadow
// register, and `first`, sent when a fold starts to stream, moves the shadow into use as it passes:
// the swap is a wave that travels like the data. Without, words go to the one register in use.
module weight_cell #(
    parameter int DOUBLE_BUFFER = 1,
    parameter int ROW = 0,
    parameter int ROW_BITS = 4,
    parameter int BUSES = 1
) (
    input  logic                           clk,
    input  logic                           first,
    input  logic [BUSES-1:0]               bus_valid,
    input  logic [BUSES-1:0][ROW_BITS-1:0] bus_row,
    input  logic [BUSES-1:0][7:0]          bus_data,
    output logic signed [7:0]              weight
);
  logic hit;
  logic [7:0] loaded;

  always_comb begin
    hit = 1'b0;
    loaded = '0;
    for (int b = 0; b < BUSES; b++) begin
      if (bus_valid[b] && bus_row[b] == ROW_BITS'(ROW)) begin
        hit = 1'b1;
        loaded = bus_data[b];
      end
    end
  end

  if (DOUBLE_BUFFER != 0) begin : g_double
    logic [7:0] shadow, active;
    assign weight = first ? shadow : active;
    always_ff @(posedge clk) begin
      if (first) active <= shadow;
      if (hit) shadow <= loaded;
    end
  end else begin : g_single
    logic [7:0] active;
    assign weight = active;
    always_ff @(posedge clk) if (hit) active <= loaded;
  end
endmodule
