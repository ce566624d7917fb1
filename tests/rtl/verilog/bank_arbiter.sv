// The arbiter of a banked memory that REQUESTERS engines share.
//
// Each cycle has one slot per bank. The turn goes round the active engines: the first of them after
// the one that was first in the cycle before takes what it wants, then the next, while slots are
// left. Which bank a word lies in is settled within each engine's stream, not between engines.
module bank_arbiter #(
    parameter int REQUESTERS = 5,
    parameter int TURN_BITS = 3
) (
    input  logic [7:0]                  banks,
    input  logic [TURN_BITS-1:0]        previous,
    input  logic [REQUESTERS-1:0]       active,
    input  logic [REQUESTERS-1:0][15:0] want,
    output logic [REQUESTERS-1:0][15:0] granted,
    output logic [TURN_BITS-1:0]        first
);
  always_comb begin
    logic [15:0] left;
    logic found;
    left = 16'(banks);
    found = 1'b0;
    first = previous;
    granted = '0;
    for (int i = 1; i <= REQUESTERS; i++) begin
      automatic int e = (int'(previous) + i) % REQUESTERS;
      if (active[e]) begin
        if (!found) first = TURN_BITS'(e);
        found = 1'b1;
        granted[e] = want[e] < left ? want[e] : left;
        left = left - granted[e];
      end
    end
  end
endmodule
