// A line of registers: q is d of CYCLES cycles ago.
module delay #(
    parameter int WIDTH = 8,
    parameter int CYCLES = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  if (CYCLES == 0) begin : g_wire
    assign q = d;
  end else begin : g_stages
    logic [WIDTH-1:0] stage[CYCLES];
    always_ff @(posedge clk) begin
      stage[0] <= d;
      for (int i = 1; i < CYCLES; i++) stage[i] <= stage[i-1];
    end
    assign q = stage[CYCLES-1];
  end
endmodule
