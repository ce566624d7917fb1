// One engine as the banks see it: a command of fixed cycles, then of moving cycles that need words.
//
// The words of a command are spread evenly over its moving cycles: when t of them are over,
// ceil(words * t / moving) have been served. A moving cycle is over when its words are there; what
// was granted in vain is kept for the next try.
module requester (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] fixed, moving, spm_words, acc_words,
    output logic        busy,
    output logic        active,
    output logic        done,
    output logic [15:0] spm_want, acc_want,
    input  logic [15:0] spm_granted, acc_granted,
    output logic [31:0] moved, spm_taken, acc_taken
);
  logic [31:0] fixed_left, length, spm_total, acc_total;
  // Words due at the end of this moving cycle, by a counter that carries the remainder along.
  logic [31:0] spm_due, acc_due, spm_over, acc_over;

  assign active = busy && fixed_left == 0;
  assign spm_want = active ? 16'(spm_due - spm_taken) : 0;
  assign acc_want = active ? 16'(acc_due - acc_taken) : 0;
  wire served = active && spm_want == spm_granted && acc_want == acc_granted;
  assign done = busy && (active ? served && moved + 1 == length : fixed_left == 1 && length == 0);

  // `over` is what `due` exceeds words * t / moving by, in 1 / moving.
  function automatic logic [31:0] more(input logic [31:0] words, input logic [31:0] over,
                                       input logic [31:0] per);
    return words <= over ? 0 : (words - over + per - 1) / per;
  endfunction

  wire [31:0] spm_more = more(spm_total, spm_over, length);
  wire [31:0] acc_more = more(acc_total, acc_over, length);

  always_ff @(posedge clk) begin
    if (busy && fixed_left != 0) fixed_left <= fixed_left - 1;
    spm_taken <= spm_taken + 32'(spm_granted);
    acc_taken <= acc_taken + 32'(acc_granted);
    if (served) begin
      moved <= moved + 1;
      spm_due <= spm_due + spm_more;
      spm_over <= spm_over + spm_more * length - spm_total;
      acc_due <= acc_due + acc_more;
      acc_over <= acc_over + acc_more * length - acc_total;
    end
    if (done) busy <= 1'b0;
    if (reset) busy <= 1'b0;
    else if (start) begin
      busy <= 1'b1;
      {fixed_left, length, spm_total, acc_total} <= {fixed, moving, spm_words, acc_words};
      {moved, spm_taken, acc_taken} <= '0;
      if (moving != 0) begin
        spm_due <= more(spm_words, 0, moving);
        spm_over <= more(spm_words, 0, moving) * moving - spm_words;
        acc_due <= more(acc_words, 0, moving);
        acc_over <= more(acc_words, 0, moving) * moving - acc_words;
      end
    end
  end
endmodule
