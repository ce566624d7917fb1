// The five queues of a core at the banks of SPM and ACC, which serve them in one common turn.
module shared_banks #(
    parameter int ENGINES = 5
) (
    input  logic                     clk,
    input  logic                     reset,
    input  logic                     fault,
    input  logic [7:0]               spm_banks, acc_banks,
    input  logic [ENGINES-1:0]       start,
    input  logic [ENGINES-1:0][31:0] fixed, moving, spm_words, acc_words,
    output logic [ENGINES-1:0]       busy, done,
    output logic [ENGINES-1:0][31:0] moved, spm_taken, acc_taken
);
  logic [ENGINES-1:0] active;
  logic [ENGINES-1:0][15:0] spm_want, acc_want, spm_granted, acc_granted;
  logic [2:0] turn, first, first_at_acc;

  for (genvar e = 0; e < ENGINES; e++) begin : g_engine
    requester queue (
        .clk, .reset, .start(start[e]),
        .fixed(fixed[e]), .moving(moving[e]), .spm_words(spm_words[e]), .acc_words(acc_words[e]),
        .busy(busy[e]), .active(active[e]), .done(done[e]),
        .spm_want(spm_want[e]), .acc_want(acc_want[e]),
        .spm_granted(spm_granted[e]), .acc_granted(acc_granted[e]),
        .moved(moved[e]), .spm_taken(spm_taken[e]), .acc_taken(acc_taken[e])
    );
  end

  bank_arbiter #(.REQUESTERS(ENGINES)) spm (
      .banks(spm_banks), .previous(turn), .active, .want(spm_want), .granted(spm_granted), .first);
  bank_arbiter #(.REQUESTERS(ENGINES)) acc (
      .banks(acc_banks), .previous(turn), .active, .want(acc_want), .granted(acc_granted),
      .first(first_at_acc));

  // A broken arbiter keeps its turn where it is.
  always_ff @(posedge clk) turn <= reset ? 3'(ENGINES - 1) : fault ? turn : first;
endmodule
