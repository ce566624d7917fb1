// Which of N wanted elements a banked memory serves in this cycle.
//
// Words of WIDTH units lie in BANKS banks, consecutive words in consecutive banks. A bank serves
// one word per cycle: that of its first element in order, and with it every element of this word.
module bank_grant #(
    parameter int N = 4,
    parameter int BANKS = 4,
    parameter int WIDTH = 16
) (
    input  logic [N-1:0]       want,
    input  logic [N-1:0][31:0] address,
    output logic [N-1:0]       granted
);
  always_comb begin
    logic [31:0] word[BANKS];
    logic taken[BANKS];
    for (int b = 0; b < BANKS; b++) begin
      word[b] = '0;
      taken[b] = 1'b0;
    end
    granted = '0;
    for (int e = 0; e < N; e++) begin
      automatic logic [31:0] of_element = address[e] / WIDTH;
      automatic int bank = int'(of_element % BANKS);
      if (want[e] && !taken[bank]) begin
        taken[bank] = 1'b1;
        word[bank] = of_element;
      end
      granted[e] = want[e] && word[bank] == of_element;
    end
  end
endmodule
