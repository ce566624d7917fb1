// Drives `npu` with command streams from standard input; writes what it did to standard output.
//
// All words are 32 bits, little-endian. In: the settings (fault, fold overlap, weight rows and
// cycles, the same for transposed W), the number of streams; for each its number of commands, the
// bytes of SPM, the words of ACC, and 16 words per command. Out: for each command the cycle in
// which it starts and the one after its last, then SPM and ACC as they are then; after each stream
// the three counters of `npu`.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vnpu.h"
#include "Vnpu___024root.h"
#include "verilated.h"

namespace {

constexpr uint32_t kCommandWords = 16;
constexpr uint32_t kMostCycles = 4000000;

uint32_t take() {
  uint32_t word;
  if (std::fread(&word, 4, 1, stdin) != 1) std::exit(3);
  return word;
}

void put(uint32_t word) { std::fwrite(&word, 4, 1, stdout); }

void edge(Vnpu& npu) {
  npu.clk = 1;
  npu.eval();
  npu.clk = 0;
  npu.eval();
}

template <typename Memory, typename Element>
void fill(Memory& memory) {
  for (auto& element : memory.m_storage) {
    Element value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(3);
    element = value;
  }
}

template <typename Memory>
void dump(const Memory& memory) {
  std::fwrite(memory.m_storage, sizeof memory.m_storage[0], std::size(memory.m_storage), stdout);
}

void run_stream(Vnpu& npu) {
  const uint32_t count = take();
  auto& spm = npu.rootp->npu__DOT__spm;
  auto& acc = npu.rootp->npu__DOT__acc;
  npu.command_valid = 0;
  npu.reset = 1;
  for (int i = 0; i < 64; i++) edge(npu);  // longer than any wave inside
  npu.reset = 0;
  fill<decltype(spm), uint8_t>(spm);
  fill<decltype(acc), uint32_t>(acc);
  std::vector<uint32_t> commands(count * kCommandWords);
  for (auto& word : commands) word = take();

  uint32_t next = 0, done = 0, start = 0;
  for (uint32_t cycle = 0; done < count; cycle++) {
    if (cycle == kMostCycles) std::exit(4);
    npu.command_valid = next < count;
    for (uint32_t i = 0; i < kCommandWords && next < count; i++) {
      npu.command[i] = commands[next * kCommandWords + i];
    }
    npu.eval();
    const bool ready = npu.command_ready;
    edge(npu);
    if (ready && next > done) {
      put(start);
      put(cycle + 1);
      dump(spm);
      dump(acc);
      done++;
    }
    if (ready && next < count) {
      start = cycle + 1;
      next++;
    }
  }
  put(npu.acc_overloads);
  put(npu.acc_collisions);
  put(npu.spm_collisions);
}

}  // namespace

int main() {
  VerilatedContext context;
  Vnpu npu(&context);
  npu.clk = 0;
  npu.fault = take();
  npu.fold_overlap = take();
  npu.weight_num = take();
  npu.weight_den = take();
  npu.turned_num = take();
  npu.turned_den = take();
  const uint32_t streams = take();
  for (uint32_t i = 0; i < streams; i++) run_stream(npu);
  npu.final();
  return 0;
}
