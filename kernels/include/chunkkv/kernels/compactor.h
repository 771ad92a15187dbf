// The one interface to compaction: score, select, gather, re-rotate, digest, for a batch of layers at once.
//
//   Plan -> WorkspaceBytes(plan, batch) -> Enqueue(plan, batch, workspace, context) -> Wait(context)
//
// A Batch lists tasks; Enqueue runs all its score tasks, then its select tasks, then its gather, rotate, scatter and
// digest tasks, in that order, so one batch can hold a whole request, or one layer of a prompt that is still arriving.
// Implementations are stateless and thread-safe: contexts may run in parallel. Nothing is allocated inside Enqueue;
// nothing blocks but Wait. All memory belongs to the caller and must live until Wait returns.
#ifndef CHUNKKV_KERNELS_COMPACTOR_H_
#define CHUNKKV_KERNELS_COMPACTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/digest_block.h"
#include "chunkkv/kernels/failure_word.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/tensor_view.h"

namespace chunkkv {

// Token scores of one scored layer. Which inputs are read depends on plan.source.
struct ScoreTask {
  int32_t layer = 0;              // attention layer: its AttentionShape applies
  RowsView keys;                  // kQueryWindow: [L, Hkv, D]
  DenseView queries;              // kQueryWindow: [w', H, D] of the last w' = min(w, L) tokens
  const float* lse = nullptr;     // kQueryWindow with LSE: [w', H], natural log, sinks included; else null
  DenseView attention;            // kAttention: probabilities [H, w', L]
  DenseView token_scores_in;      // kTokenScores: [P]
  float* token_scores = nullptr;  // out: [P], unpooled
  RowsView key_scales = {};       // of fp8 keys: f32 [L, Hkv, 1], a key is scale * element; strides of 0 share a scale
  // Whether a token's score may be the mean over some tokens of its chunk around it, where AllowsChunkMeans(plan): the
  // same chunks are chosen, and of a chunk that the budget cuts retained_mass counts its share. On a GPU, without LSE,
  // it may spare the second pass over the keys.
  bool allows_chunk_means = false;
};

// Kept positions of one reuse group.
struct SelectTask {
  int32_t group = 0;
  int64_t budget = 0;  // plan.budget, or a raised one
  // Token scores [P] of the layers that choose: the leader's, or all of the group's under SUM (added in layer order).
  // Empty for policies without scores.
  absl::Span<const float* const> token_scores;
  int32_t* positions = nullptr;     // out: [budget], ascending
  double* retained_mass = nullptr;  // out: one per element of token_scores; may be null
};

// Copies kept rows: destination is dense [count, head_count, head_size] of the source's dtype, bit for bit.
struct GatherTask {
  RowsView source;
  absl::Span<const int32_t> positions;  // may be written by a select task of the same batch
  std::byte* destination = nullptr;
};

// Rotary embedding of one layer run. Angle of pair i at position p is p * inv_freq[i].
struct RopeShape {
  int32_t first_dim = 0;
  int32_t rotary_dims = 0;   // even; inv_freq has rotary_dims / 2 elements
  bool interleaved = false;  // pairs (2i, 2i+1); else HALF: (i, i + rotary_dims / 2)
  std::vector<double> inv_freq;
};

// Re-rotates kept keys from their original positions to 0..count-1 (angles in float64, rotation in float32 or better,
// within one unit in the last place of the pair's larger element). Keys are dense [count, head_count, head_size];
// destination may equal source.
struct RotateTask {
  RowsView source;
  absl::Span<const int32_t> positions;  // original position of each row
  const RopeShape* rope = nullptr;
  std::byte* destination = nullptr;
};

// Writes dense rows [count, head_count, head_size] into a cache, as a decode engine holds it: row n becomes row
// positions[n] of the destination (distinct; for a compacted prompt 0..count-1), bit for bit.
struct ScatterTask {
  const std::byte* source = nullptr;  // of the destination's dtype
  absl::Span<const int32_t> positions;
  MutableRowsView destination;
};

// XXH3-64 (seed 0) of consecutive blocks of kDigestBlockBytes of a tensor's bytes, the last one possibly shorter: what
// a tensor's digest is made of, computed where the bytes are. Any alignment of `data`; 16 bytes are fastest.
struct DigestTask {
  const std::byte* data = nullptr;  // may be written by earlier tasks of the same batch
  int64_t size_bytes = 0;
  MemoryPlace place;
  uint64_t* block_digests = nullptr;  // out: [ceil(size_bytes / kDigestBlockBytes)]
};

struct Batch {
  absl::Span<const ScoreTask> score = {};
  absl::Span<const SelectTask> select = {};
  absl::Span<const GatherTask> gather = {};
  absl::Span<const RotateTask> rotate = {};
  absl::Span<const ScatterTask> scatter = {};
  absl::Span<const DigestTask> digest = {};
};

// Where a batch runs. On a CPU: `run_parallel(count, body)` calls body(i) for i in [0, count), on any threads, and
// returns when all are done; null runs in the calling thread.
// On a GPU: everything is enqueued on `stream`, and every address in a task (inputs, outputs, positions, workspace) is
// one that the device reads and writes; only what the tasks' own spans and pointers to structs hold lies on the host.
// `cancelled`, where set, is called every few milliseconds, by the threads of run_parallel at the same time, and must
// not turn back to false; a cancelled batch ends CANCELLED.
struct ExecutionContext {
  std::function<void(size_t count, const std::function<void(size_t)>& body)> run_parallel;
  std::function<bool()> cancelled;
  void* stream = nullptr;  // cudaStream_t
  // Pinned host memory that the device can write: where kernels leave the first failure for Wait. kNoFailure: none.
  uint64_t* failure = nullptr;
  // At most so many blocks of a kernel at a time, and with them multiprocessors, for an engine that shares the GPU; 0:
  // all.
  int32_t max_sm_count = 0;
  // First failure of what was enqueued; implementations set it, Wait returns and clears it.
  absl::Status status;
};

class Compactor {
 public:
  virtual ~Compactor() = default;

  // "reference", "cpu", "cuda".
  virtual std::string_view Name() const = 0;

  // Scratch for `batch`, alignment 64. Depends on counts and shapes only, never on addresses' contents.
  virtual size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const = 0;

  // Starts `batch`. Errors: INVALID_ARGUMENT for tasks that contradict the plan, UNIMPLEMENTED for dtypes or shapes
  // this implementation refuses by name.
  virtual absl::Status Enqueue(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                               ExecutionContext& context) const = 0;

  // Blocks until everything enqueued on `context` is done. Errors: INVALID_ARGUMENT with reason NON_FINITE_INPUT or
  // NEGATIVE_SCORES naming the layer, or BAD_POSITIONS where a gather's or scatter's position is outside its rows, or
  // a block id outside its cache; CANCELLED.
  virtual absl::Status Wait(ExecutionContext& context) const = 0;
};

// Plain loops, float32 and float64: the executable specification.
std::unique_ptr<Compactor> MakeReferenceCompactor();
// Vectorised with run-time dispatch to the best instruction set of the machine.
std::unique_ptr<Compactor> MakeCpuCompactor();

// Jaccard similarity of adjacent groups' kept positions within [sink_tokens, past_length): [group_count - 1], 1 where
// both are empty. `positions[g]` ascending.
std::vector<double> AdjacentJaccard(absl::Span<const absl::Span<const int32_t>> positions, int64_t sink_tokens,
                                    int64_t past_length);

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMPACTOR_H_
