// What a figure is of, as shapes.py reads it: <bench>/<model>/<tokens>/<keep>/<window>/<reuse>/<layout>/<dtype>.
#ifndef CHUNKKV_TESTS_BENCH_GPU_BENCH_SHAPE_H_
#define CHUNKKV_TESTS_BENCH_GPU_BENCH_SHAPE_H_

#include <cstdint>
#include <string>

#include "chunkkv/kernels/plan.h"

namespace chunkkv::bench {

enum class Layout { kTokenMajor, kHeadMajor, kPaged };

struct BenchShape {
  std::string bench;              // "score_lse", ...
  std::string model = "llama8b";  // or "llama70b"
  int64_t tokens = 8192;
  double keep = 0.3;
  int32_t window = 32;
  int32_t reuse = 1;
  Layout layout = Layout::kTokenMajor;
  DType dtype = DType::kBF16;
  int32_t layer_count = 0;  // of the model's; 0: all

  std::string Name() const;
  AttentionShape Attention() const;
  int32_t LayerCount() const;
  int64_t LayerBytes() const;  // of K, or of V
  // Whether scores without an LSE may be chunks' (ScoreTask::allows_chunk_means).
  bool AllowsChunkMeans() const { return bench == "score_chunk" || bench == "request_no_lse"; }
  // ChunkKV with the defaults, by queries. Ends the program where the shape is no prompt.
  Plan MakePlan(bool has_lse) const;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_BENCH_SHAPE_H_
