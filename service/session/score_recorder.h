// Token scores of coming puts for whoever asked for them: reuse groups are chosen from such records.
//
// A listener starts a recording; every put of its model that begins from then on and has all of its layers scored keeps
// a copy of the scores, which the listener takes once the put is committed. Copies are charged to the store's budget.
#ifndef CHUNKKV_SERVICE_SESSION_SCORE_RECORDER_H_
#define CHUNKKV_SERVICE_SESSION_SCORE_RECORDER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "service/base/mutex.h"
#include "service/format/identity.h"
#include "service/memory/buffer.h"
#include "service/session/put_plan.h"
#include "service/session/put_request.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// What the choices of one committed put were made from. Immutable once it is handed out.
struct RecordedPut {
  CompactionSpec spec;  // as requested
  int64_t token_count = 0;
  int64_t past_length = 0;
  std::vector<int32_t> layers;  // of the shard: those that attend, in order
  Buffer token_scores;          // float32 [layers, past_length], unpooled
  absl::Span<float> Layer(int32_t layer);
  absl::Span<const float> Layer(int32_t layer) const;
};
using RecordedPutPtr = std::shared_ptr<const RecordedPut>;

// Whose puts are recorded.
struct RecordFilter {
  std::string tenant;
  Bytes32 fingerprint{};
  Shard shard;  // resolved
  bool operator==(const RecordFilter&) const = default;
};

// One listener's records. Ends when its last owner lets go. Thread-safe.
class ScoreRecording {
 public:
  struct Skipped {
    int64_t unscored = 0;  // puts of which some layer is not scored
    int64_t no_room = 0;   // the listener is behind, or the store is full
    int64_t already_stored = 0;
    bool operator==(const Skipped&) const = default;
  };
  // `wake` is called, without locks held, when there is something new.
  ScoreRecording(RecordFilter filter, std::function<void()> wake)
      : filter_(std::move(filter)), wake_(std::move(wake)) {}

  const RecordFilter& filter() const { return filter_; }
  // The oldest record not taken yet; null where there is none.
  RecordedPutPtr Take();
  Skipped skipped() const;

 private:
  friend class ScoreRecorder;
  friend class PutScores;
  void Add(const RecordedPutPtr& put);
  void Skip(int64_t Skipped::*reason);

  const RecordFilter filter_;
  const std::function<void()> wake_;
  mutable Mutex mutex_;
  std::deque<RecordedPutPtr> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Skipped skipped_ ABSL_GUARDED_BY(mutex_);
};

// The copy that one put makes. Not thread-safe; dropped without Commit, it leaves nothing.
class PutScores {
 public:
  PutScores(RecordedPut put, std::vector<std::shared_ptr<ScoreRecording>> recordings);
  // Token scores [P] of an attention layer.
  void Add(int32_t attention_layer, const float* token_scores);
  // Hands the copy, which has every layer, to its listeners.
  void Commit();

 private:
  std::shared_ptr<RecordedPut> put_;
  const std::vector<std::shared_ptr<ScoreRecording>> recordings_;
};

// Thread-safe.
class ScoreRecorder {
 public:
  std::shared_ptr<ScoreRecording> Start(RecordFilter filter, std::function<void()> wake);
  // A put sends nothing, for it is stored already.
  void NoteStored(const PutRequest& request);
  // Null where nobody listens, or where the put cannot be recorded, which its listeners learn. Evicts nothing.
  std::unique_ptr<PutScores> BeginPut(const PutRequest& request, const PutPlan& put, EntryStore& store);

 private:
  std::vector<std::shared_ptr<ScoreRecording>> ListenersOf(const PutRequest& request);

  Mutex mutex_;
  std::vector<std::weak_ptr<ScoreRecording>> recordings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_SCORE_RECORDER_H_
