// The array: ROWS x COLS cells, the skew of activations and weights in front, the deskew behind.
//
// A whole row of activations is given in one cycle; element r waits r cycles, so that it meets the
// partial sums of its row. Column c's sum leaves c cycles after column 0's and the deskew holds
// column 0 back: the row of sums is whole ROWS + COLS - 2 cycles after the activations were given.
// The weight bus of a column starts c cycles late as well and moves down one row per cycle, behind
// the wave of data that still needs the old weights. A single-buffered array has no such wave: its
// words reach the registers at once, which is right only while no data is inside.
module systolic_array #(
    parameter int ROWS = 4,
    parameter int COLS = 4,
    parameter int DOUBLE_BUFFER = 1,
    parameter int BUSES = 1,
    parameter int ROW_BITS = 4
) (
    input  logic                                clk,
    input  logic                                skewed,
    input  logic [ROWS-1:0][7:0]                a_row,
    input  logic                                first,
    input  logic [BUSES-1:0]                    bus_valid,
    input  logic [BUSES-1:0][ROW_BITS-1:0]      bus_row,
    input  logic [BUSES-1:0][COLS-1:0][7:0]     bus_data,
    output logic signed [COLS-1:0][31:0]        sums
);
  // What stands between cells; index 0 is the edge of the array.
  wire signed [7:0] a[ROWS][COLS+1];
  wire first_at[ROWS][COLS+1];
  wire signed [31:0] sum[ROWS+1][COLS];
  wire signed [31:0] sum_next[ROWS][COLS];
  wire [BUSES-1:0] valid_at[ROWS][COLS];
  wire [BUSES-1:0][ROW_BITS-1:0] row_at[ROWS][COLS];
  wire [BUSES-1:0][7:0] data_at[ROWS][COLS];

  for (genvar r = 0; r < ROWS; r++) begin : g_skew
    delay #(.WIDTH(9), .CYCLES(r)) line (
        .clk, .d({first, a_row[r]}), .q({first_at[r][0], a[r][0]}));
  end

  for (genvar c = 0; c < COLS; c++) begin : g_column
    wire [BUSES-1:0][7:0] column_data;
    for (genvar b = 0; b < BUSES; b++) begin : g_bus
      assign column_data[b] = bus_data[b][c];
    end
    localparam int BUS_BITS = BUSES * (ROW_BITS + 9);
    wire [BUS_BITS-1:0] given = {bus_valid, bus_row, column_data};
    wire [BUS_BITS-1:0] late;
    if (DOUBLE_BUFFER != 0) begin : g_late
      delay #(.WIDTH(BUS_BITS), .CYCLES(c)) line (.clk, .d(given), .q(late));
    end else begin : g_at_once
      assign late = given;
    end

    assign sum[0][c] = '0;
    for (genvar r = 0; r < ROWS; r++) begin : g_row
      if (r == 0) begin : g_edge
        assign {valid_at[r][c], row_at[r][c], data_at[r][c]} = skewed ? late : given;
      end else if (DOUBLE_BUFFER != 0) begin : g_below
        logic [BUS_BITS-1:0] passed;
        always_ff @(posedge clk) passed <= {valid_at[r-1][c], row_at[r-1][c], data_at[r-1][c]};
        assign {valid_at[r][c], row_at[r][c], data_at[r][c]} = passed;
      end else begin : g_together
        assign {valid_at[r][c], row_at[r][c], data_at[r][c]} = given;
      end

      wire signed [7:0] weight;
      weight_cell #(
          .DOUBLE_BUFFER(DOUBLE_BUFFER), .ROW(r), .ROW_BITS(ROW_BITS), .BUSES(BUSES)
      ) weights (
          .clk,
          .first(first_at[r][c]),
          .bus_valid(valid_at[r][c]),
          .bus_row(row_at[r][c]),
          .bus_data(data_at[r][c]),
          .weight
      );
      mac_cell cell_rc (
          .clk,
          .a_in(a[r][c]),
          .first_in(first_at[r][c]),
          .weight,
          .sum_in(sum[r][c]),
          .a_out(a[r][c+1]),
          .first_out(first_at[r][c+1]),
          .sum_next(sum_next[r][c]),
          .sum_out(sum[r+1][c])
      );
    end

    delay #(.WIDTH(32), .CYCLES(COLS - 1 - c)) deskew (
        .clk, .d(sum_next[ROWS-1][c]), .q(sums[c]));
  end
endmodule
