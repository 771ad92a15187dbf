#include "service/session/score_recorder.h"

#include <algorithm>

#include "service/session/checked_bytes.h"

namespace chunkkv {
namespace {

// Records that a listener may be behind with; one record is always taken.
constexpr int64_t kMostWaitingBytes = 64 << 20;

bool ScoresEveryLayer(const PutPlan& put) {
  return !put.keeps_everything && std::ranges::all_of(put.layers, [](const LayerPlan& layer) {
    return layer.attention_layer < 0 || layer.is_scored;
  });
}

}  // namespace

absl::Span<float> RecordedPut::Layer(int32_t layer) {
  auto* const scores = reinterpret_cast<float*>(token_scores.data());
  return {scores + layer * past_length, static_cast<size_t>(past_length)};
}

absl::Span<const float> RecordedPut::Layer(int32_t layer) const {
  const auto* const scores = reinterpret_cast<const float*>(token_scores.data());
  return {scores + layer * past_length, static_cast<size_t>(past_length)};
}

RecordedPutPtr ScoreRecording::Take() {
  MutexLock lock(mutex_);
  if (waiting_.empty()) return nullptr;
  RecordedPutPtr put = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= put->token_scores.size_bytes();
  return put;
}

ScoreRecording::Skipped ScoreRecording::skipped() const {
  MutexLock lock(mutex_);
  return skipped_;
}

void ScoreRecording::Add(const RecordedPutPtr& put) {
  const int64_t size_bytes = put->token_scores.size_bytes();
  {
    MutexLock lock(mutex_);
    if (!waiting_.empty() && waiting_bytes_ + size_bytes > kMostWaitingBytes) {
      ++skipped_.no_room;
    } else {
      waiting_.push_back(put);
      waiting_bytes_ += size_bytes;
    }
  }
  wake_();
}

void ScoreRecording::Skip(int64_t Skipped::*reason) {
  {
    MutexLock lock(mutex_);
    ++(skipped_.*reason);
  }
  wake_();
}

PutScores::PutScores(RecordedPut put, std::vector<std::shared_ptr<ScoreRecording>> recordings)
    : put_(std::make_shared<RecordedPut>(std::move(put))), recordings_(std::move(recordings)) {}

void PutScores::Add(int32_t attention_layer, const float* token_scores) {
  const absl::Span<float> copy = put_->Layer(attention_layer);
  std::copy_n(token_scores, copy.size(), copy.begin());
}

void PutScores::Commit() {
  for (const auto& recording : recordings_) recording->Add(put_);
}

std::shared_ptr<ScoreRecording> ScoreRecorder::Start(RecordFilter filter, std::function<void()> wake) {
  auto recording = std::make_shared<ScoreRecording>(std::move(filter), std::move(wake));
  MutexLock lock(mutex_);
  std::erase_if(recordings_, [](const auto& weak) { return weak.expired(); });
  recordings_.push_back(recording);
  return recording;
}

std::vector<std::shared_ptr<ScoreRecording>> ScoreRecorder::ListenersOf(const PutRequest& request) {
  std::vector<std::shared_ptr<ScoreRecording>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& weak : recordings_) {
      if (auto recording = weak.lock()) all.push_back(std::move(recording));
    }
  }
  if (all.empty()) return all;
  const RecordFilter name{request.tenant, Fingerprint(request.model), request.shard};
  std::erase_if(all, [&name](const auto& recording) { return !(recording->filter() == name); });
  return all;
}

void ScoreRecorder::NoteStored(const PutRequest& request) {
  for (const auto& recording : ListenersOf(request)) recording->Skip(&ScoreRecording::Skipped::already_stored);
}

std::unique_ptr<PutScores> ScoreRecorder::BeginPut(const PutRequest& request, const PutPlan& put, EntryStore& store) {
  std::vector<std::shared_ptr<ScoreRecording>> listeners = ListenersOf(request);
  if (listeners.empty()) return nullptr;
  const auto skip = [&listeners](int64_t ScoreRecording::Skipped::*reason) {
    for (const auto& recording : listeners) recording->Skip(reason);
    return nullptr;
  };
  if (!ScoresEveryLayer(put)) return skip(&ScoreRecording::Skipped::unscored);
  RecordedPut record;
  record.spec = request.spec;
  record.token_count = request.token_count;
  record.past_length = put.plan.past_length;
  record.layers = put.layer_of_attention;
  const int64_t size_bytes =
      CheckedProduct({static_cast<int64_t>(record.layers.size()), record.past_length, sizeof(float)});
  BudgetShare share;
  if (!store.TryReserve(Buffer::ChargedBytes(size_bytes), &share)) return skip(&ScoreRecording::Skipped::no_room);
  absl::StatusOr<Buffer> scores = Buffer::Allocate(size_bytes, std::move(share));
  if (!scores.ok()) return skip(&ScoreRecording::Skipped::no_room);
  record.token_scores = *std::move(scores);
  return std::make_unique<PutScores>(std::move(record), std::move(listeners));
}

}  // namespace chunkkv
