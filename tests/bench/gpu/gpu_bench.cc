// The kernels' speed on the GPU of this machine.
//
//   gpu_bench [--only G1|G2|G3|G4|P1] >> lines.jsonl
//
// Standard output has one JSON object a figure (lines.py); checks, readable figures and times by kernel go to standard
// error. The status is 1 where the GPU is missing or refuses, or a result is wrong.
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/bench/gpu/benches.h"

namespace chunkkv::bench {
namespace {

struct Bench {
  const char* name;
  void (*run)(BenchDevice&);
};
constexpr Bench kBenches[] = {
    {"G1", BenchScoring}, {"G2", BenchSelecting}, {"G3", BenchGathering}, {"G4", BenchRequests}, {"P1", BenchToHost}};

int Main(int argc, char** argv) {
  std::string only;
  if (argc == 3 && std::strcmp(argv[1], "--only") == 0) only = argv[2];
  bool is_known = argc == 1;
  for (const Bench& bench : kBenches) is_known = is_known || only == bench.name;
  if (!is_known) {
    std::fprintf(stderr, "usage: gpu_bench [--only G1|G2|G3|G4|P1]\n");
    return 2;
  }
  BenchDevice device;
  for (const Bench& bench : kBenches) {
    if (only.empty() || only == bench.name) bench.run(device);
  }
  return 0;
}

}  // namespace
}  // namespace chunkkv::bench

int main(int argc, char** argv) { return chunkkv::bench::Main(argc, argv); }
