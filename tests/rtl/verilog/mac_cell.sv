// One cell of the array: a multiplier, an adder and the two registers that make it systolic.
//
// Activations move right, sums move down, one cell per cycle. `sum_next` is what the sum register
// takes at the end of this cycle: the bottom row is used before its register.
module mac_cell (
    input  logic               clk,
    input  logic signed [ 7:0] a_in,
    input  logic               first_in,
    input  logic signed [ 7:0] weight,
    input  logic signed [31:0] sum_in,
    output logic signed [ 7:0] a_out,
    output logic               first_out,
    output logic signed [31:0] sum_next,
    output logic signed [31:0] sum_out
);
  assign sum_next = sum_in + 32'(a_in * weight);

  always_ff @(posedge clk) begin
    a_out <= a_in;
    first_out <= first_in;
    sum_out <= sum_next;
  end
endmodule
