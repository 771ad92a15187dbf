// Compaction on a CPU against the limits of the same run: memcpy, and the plain reference.
//
//   kernels_bench [--rounds N] [--check] [--only gather|score|long]
//
// Names: <bench>/<model>/<tokens>/<keep>/<window>/<reuse>/<layout>/<dtype>; a subset of the model's layers is run.
// --check ends with status 1 where a floor is missed: scoring 8 x, end to end 5 x the reference, gather 85 % of memcpy,
// each on one thread and in processor time.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "tests/bench/kernels/measure.h"
#include "tests/bench/kernels/prompt.h"

namespace chunkkv::bench {
namespace {

struct Floors {
  bool met = true;
  void Require(const std::string& name, double value, double floor) {
    std::printf("%-64s %8.2f  floor %.2f%s\n", name.c_str(), value, floor, value >= floor ? "" : "  MISSED");
    met = met && value >= floor;
  }
};

void RunOnTwoThreads(size_t count, const std::function<void(size_t)>& body) {
  std::thread other([&] {
    for (size_t i = 1; i < count; i += 2) body(i);
  });
  for (size_t i = 0; i < count; i += 2) body(i);
  other.join();
}

void PrintRate(const std::string& name, double amount, const char* unit, const Timing& timing) {
  std::printf("%-64s %8.2f %s  (%.2f ms)%s\n", name.c_str(), amount / timing.median_s / 1e9, unit,
              timing.median_s * 1e3, SpreadMark(timing));
}

void BenchScoring(int rounds, Floors& floors) {
  const auto reference = MakeReferenceCompactor();
  const auto cpu = MakeCpuCompactor();
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    PromptShape shape;
    shape.token_count = 2048;
    shape.dtype = dtype;
    Prompt prompt(shape);
    const auto timings =
        TimeInTurn(Clock::kThread,
                   {[&] { prompt.Run(*reference, true, false, false); }, [&] { prompt.Run(*cpu, true, false, false); },
                    [&] { prompt.Run(*reference, true, true, true); }, [&] { prompt.Run(*cpu, true, true, true); }},
                   rounds);
    PrintRate("score/reference/" + prompt.Name(), prompt.ScoringFlops(), "GFLOP/s", timings[0]);
    PrintRate("score/cpu/" + prompt.Name(), prompt.ScoringFlops(), "GFLOP/s", timings[1]);
    PrintRate("compact/reference/" + prompt.Name(), prompt.KvBytes(), "GB/s of KV", timings[2]);
    PrintRate("compact/cpu/" + prompt.Name(), prompt.KvBytes(), "GB/s of KV", timings[3]);
    floors.Require("score/cpu over reference/" + prompt.Name(), timings[0].median_s / timings[1].median_s, 8);
    floors.Require("compact/cpu over reference/" + prompt.Name(), timings[2].median_s / timings[3].median_s, 5);
  }
}

void BenchLongPrompts(int rounds) {
  const auto cpu = MakeCpuCompactor();
  for (const int64_t tokens : {8192, 32768}) {
    for (const int32_t window : {8, 32}) {
      PromptShape shape;
      shape.token_count = tokens;
      shape.window_length = window;
      Prompt without_lse(shape);
      shape.has_lse = true;
      Prompt with_lse(shape);
      ExecutionContext two_threads;
      two_threads.run_parallel = RunOnTwoThreads;
      const auto timings = TimeInTurn(
          Clock::kThread,
          {[&] { without_lse.Run(*cpu, true, false, false); }, [&] { with_lse.Run(*cpu, true, false, false); },
           [&] { without_lse.Run(*cpu, true, true, true); }},
          rounds);
      const auto wall = TimeInTurn(Clock::kWall,
                                   {[&] { without_lse.Run(*cpu, true, false, false); },
                                    [&] { without_lse.Run(*cpu, true, false, false, two_threads); }},
                                   rounds);
      const double flops = without_lse.ScoringFlops();
      PrintRate("score/cpu/" + without_lse.Name(), flops, "GFLOP/s", timings[0]);
      PrintRate("score/cpu, LSE given/" + without_lse.Name(), flops, "GFLOP/s", timings[1]);
      PrintRate("compact/cpu/" + without_lse.Name(), without_lse.KvBytes(), "GB/s of KV", timings[2]);
      PrintRate("score/cpu, wall/" + without_lse.Name(), flops, "GFLOP/s", wall[0]);
      PrintRate("score/cpu, wall, two threads/" + without_lse.Name(), flops, "GFLOP/s", wall[1]);
    }
  }
}

void BenchGather(int rounds, Floors& floors) {
  const auto cpu = MakeCpuCompactor();
  for (const bool head_major : {false, true}) {
    PromptShape shape;
    shape.layer_count = 8;
    shape.head_major = head_major;
    shape.keep_ratio = 0.3;
    shape.window_length = 8;
    Prompt prompt(shape);
    prompt.Run(*cpu, true, true, false);
    // As many bytes, from all over the same keys, in one piece a layer.
    const auto copy = [&] {
      const size_t piece = prompt.KeptBytes() / shape.layer_count;
      for (int32_t layer = 0; layer < shape.layer_count; ++layer) {
        std::memcpy(prompt.kept() + layer * piece, prompt.keys(layer).data(), piece);
      }
    };
    const auto timings = TimeInTurn(Clock::kThread, {copy, [&] { prompt.Run(*cpu, false, false, true); }}, rounds * 3);
    PrintRate("memcpy", prompt.KeptBytes(), "GB/s copied", timings[0]);
    PrintRate("gather/cpu/" + prompt.Name(), prompt.KeptBytes(), "GB/s copied", timings[1]);
    floors.Require("gather over memcpy/" + prompt.Name(), timings[0].median_s / timings[1].median_s, 0.85);
  }
}

int Main(int argc, char** argv) {
  int rounds = 5;
  bool check = false;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--check") == 0) {
      check = true;
    } else if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else {
      std::fprintf(stderr, "usage: kernels_bench [--rounds N] [--check] [--only gather|score|long]\n");
      return 2;
    }
  }
  Floors floors;
  if (only.empty() || only == "gather") BenchGather(rounds, floors);
  if (only.empty() || only == "score") BenchScoring(rounds, floors);
  if ((only.empty() && !check) || only == "long") BenchLongPrompts(rounds);
  return check && !floors.met ? 1 : 0;
}

}  // namespace
}  // namespace chunkkv::bench

int main(int argc, char** argv) { return chunkkv::bench::Main(argc, argv); }
