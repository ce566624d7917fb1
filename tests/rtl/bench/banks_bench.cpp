// Drives `shared_banks` with commands that start in given cycles; writes every cycle's state.
//
// All words are 32 bits, little-endian. In: fault, the number of streams; for each the banks of SPM
// and of ACC, the number of cycles, the number of commands, and per command engine, start, fixed
// and moving cycles, words at SPM and at ACC, in order of their starts. Out: after each cycle
// moved, words taken at SPM and at ACC of each engine's latest command, and whether it runs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vshared_banks.h"
#include "verilated.h"

namespace {

constexpr uint32_t kEngines = 5;

struct Command {
  uint32_t engine, start, fixed, moving, spm_words, acc_words;
};

uint32_t take() {
  uint32_t word;
  if (std::fread(&word, 4, 1, stdin) != 1) std::exit(3);
  return word;
}

void put(uint32_t word) { std::fwrite(&word, 4, 1, stdout); }

void edge(Vshared_banks& top) {
  top.clk = 1;
  top.eval();
  top.clk = 0;
  top.eval();
}

void run_stream(Vshared_banks& top) {
  top.start = 0;
  top.reset = 1;
  edge(top);
  top.reset = 0;
  top.spm_banks = take();
  top.acc_banks = take();
  const uint32_t cycles = take();
  std::vector<Command> commands(take());
  for (auto& c : commands) {
    c = {take(), take(), take(), take(), take(), take()};
  }
  size_t next = 0;
  for (uint32_t cycle = 0; cycle <= cycles; cycle++) {
    // The edge that ends cycle - 1 takes the commands that start in `cycle`.
    top.start = 0;
    for (; next < commands.size() && commands[next].start == cycle; next++) {
      const Command& c = commands[next];
      top.start |= 1u << c.engine;
      top.fixed[c.engine] = c.fixed;
      top.moving[c.engine] = c.moving;
      top.spm_words[c.engine] = c.spm_words;
      top.acc_words[c.engine] = c.acc_words;
    }
    top.eval();
    edge(top);
    for (uint32_t e = 0; e < kEngines; e++) {
      put(top.moved[e]);
      put(top.spm_taken[e]);
      put(top.acc_taken[e]);
      put(top.busy >> e & 1);
    }
  }
}

}  // namespace

int main() {
  VerilatedContext context;
  Vshared_banks top(&context);
  top.clk = 0;
  top.fault = take();
  const uint32_t streams = take();
  for (uint32_t i = 0; i < streams; i++) run_stream(top);
  top.final();
  return 0;
}
