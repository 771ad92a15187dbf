#include "tests/unit/session/put_driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "service/base/status_macros.h"
#include "service/format/digest.h"
#include "service/format/record.h"

namespace chunkkv {
namespace {

StoreOptions StoreOf(int64_t budget_bytes) {
  StoreOptions options;
  options.host_budget_bytes = budget_bytes;
  return options;
}

PartTensor PartOf(TensorKind kind) {
  switch (kind) {
    case TensorKind::kKeys:
      return PartTensor::kKeys;
    case TensorKind::kValues:
      return PartTensor::kValues;
    case TensorKind::kKeyScales:
      return PartTensor::kKeyScales;
    case TensorKind::kValueScales:
      return PartTensor::kValueScales;
    case TensorKind::kNamed:
      return PartTensor::kNamed;
  }
  return PartTensor::kNamed;
}

// Called once, from any thread.
class Flag {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    while (!set_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ = false;
};

}  // namespace

void RecordingListener::OnSelection(int32_t group, absl::Span<const int32_t> positions, bool everything) {
  MutexLock lock(mutex_);
  if (end_.has_value()) ++calls_after_end_;
  selections_[group] = {{positions.begin(), positions.end()}, everything};
  changed_.NotifyAll();
}

void RecordingListener::OnEnd(const absl::Status& status, const PutSummary& summary) {
  MutexLock lock(mutex_);
  if (end_.has_value()) ++calls_after_end_;
  end_ = status;
  summary_ = summary;
  changed_.NotifyAll();
}

absl::Status RecordingListener::WaitForEnd() {
  MutexLock lock(mutex_);
  while (!end_.has_value()) changed_.Wait(mutex_);
  return *end_;
}

std::optional<RecordingListener::Selection> RecordingListener::WaitForSelection(int32_t group) {
  MutexLock lock(mutex_);
  while (!selections_.contains(group) && !end_.has_value()) changed_.Wait(mutex_);
  const auto found = selections_.find(group);
  if (found == selections_.end()) return std::nullopt;
  return found->second;
}

bool RecordingListener::has_ended() {
  MutexLock lock(mutex_);
  return end_.has_value();
}

PutSummary RecordingListener::summary() {
  MutexLock lock(mutex_);
  return summary_;
}

int RecordingListener::call_count_after_end() {
  MutexLock lock(mutex_);
  return calls_after_end_;
}

PutDriver::PutDriver(int64_t budget_bytes, const SessionLimits& limits, std::unique_ptr<Compactor> compactor)
    : store_(StoreOf(budget_bytes), clock_),
      compactor_(std::move(compactor)),
      limits_(limits),
      executor_(std::make_unique<Executor>(2)) {}

PutDriver::~PutDriver() { Settle(); }

void PutDriver::Settle() {
  session_ = nullptr;
  executor_ = nullptr;
}

absl::Status PutDriver::Begin(const PutRequest& request) {
  session_ = nullptr;
  if (executor_ == nullptr) executor_ = std::make_unique<Executor>(2);
  request_ = request;
  listener_ = std::make_unique<RecordingListener>();
  CHUNKKV_ASSIGN_OR_RETURN(
      session_, PutSession::Create(request, limits_, store_, *compactor_, *executor_, clock_, listener_.get()));
  return session_->OpenStream().status();
}

absl::Status PutDriver::SendPart(int32_t stream, const PartHeader& header, const Bytes& bytes) {
  while (true) {
    auto may_come = std::make_shared<Flag>();
    CHUNKKV_ASSIGN_OR_RETURN(const PutSession::Placement placement,
                             session_->PlacePart(stream, header, [may_come] { may_come->Set(); }));
    if (placement.later) {
      may_come->Wait();
      continue;
    }
    size_t at = 0;
    for (const absl::Span<std::byte> piece : placement.pieces) {
      EXPECT_LE(at + piece.size(), bytes.size());
      std::memcpy(piece.data(), bytes.data() + at, piece.size());
      at += piece.size();
    }
    EXPECT_EQ(at, bytes.size());
    return session_->FinishPart(placement.ticket, true);
  }
}

PartHeader RowsHeader(const PutRequest& request, int32_t layer, size_t tensor, int64_t begin, int64_t end) {
  const TensorSpec spec = LayerTensors(request.layout, layer)[tensor];
  PartHeader header;
  header.layer = layer;
  header.tensor = PartOf(spec.kind);
  header.begin = begin;
  header.end = end;
  header.payload_bytes = (end - begin) * spec.row_bytes;
  return header;
}

absl::Status PutDriver::SendRows(const Prompt& prompt, int32_t layer, size_t tensor, int64_t begin, int64_t end,
                                 int32_t stream) {
  const TensorSpec spec = LayerTensors(request_.layout, layer)[tensor];
  const bool head_major = FindRun(request_.layout, layer)->attention->head_major_parts;
  return SendPart(stream, RowsHeader(request_, layer, tensor, begin, end),
                  PartBytes(spec, prompt[layer].tensors[tensor], begin, end, head_major));
}

absl::Status PutDriver::SendKeptRows(const Prompt& prompt, int32_t layer, size_t tensor,
                                     absl::Span<const int32_t> positions, int64_t begin, int64_t end, int32_t stream) {
  const TensorSpec spec = LayerTensors(request_.layout, layer)[tensor];
  const bool head_major = FindRun(request_.layout, layer)->attention->head_major_parts;
  Bytes rows;
  for (const int32_t position : positions) {
    const auto row = prompt[layer].tensors[tensor].begin() + position * spec.row_bytes;
    rows.insert(rows.end(), row, row + spec.row_bytes);
  }
  PartHeader header = RowsHeader(request_, layer, tensor, begin, end);
  header.range = RangeKind::kKeptRows;
  return SendPart(stream, header, PartBytes(spec, rows, begin, end, head_major));
}

absl::Status PutDriver::SendNamed(const Prompt& prompt, int32_t layer, int32_t stream) {
  const std::vector<TensorSpec> specs = LayerTensors(request_.layout, layer);
  for (size_t tensor = 0; tensor < specs.size(); ++tensor) {
    const Bytes& bytes = prompt[layer].tensors[tensor];
    PartHeader header;
    header.layer = layer;
    header.tensor = PartTensor::kNamed;
    header.name = specs[tensor].name;
    header.range = RangeKind::kBytes;
    // In two pieces, the second first.
    const auto middle = static_cast<int64_t>(bytes.size() / 2);
    header.begin = middle;
    header.end = static_cast<int64_t>(bytes.size());
    header.payload_bytes = header.end - header.begin;
    CHUNKKV_RETURN_IF_ERROR(SendPart(stream, header, Bytes(bytes.begin() + middle, bytes.end())));
    header.begin = 0;
    header.end = middle;
    header.payload_bytes = middle;
    CHUNKKV_RETURN_IF_ERROR(SendPart(stream, header, Bytes(bytes.begin(), bytes.begin() + middle)));
  }
  return absl::OkStatus();
}

absl::Status PutDriver::SendScores(const Prompt& prompt, int32_t layer, int32_t stream) {
  const PromptLayer& from = prompt[layer];
  const std::pair<PartTensor, const Bytes*> inputs[] = {{PartTensor::kQueries, &from.queries},
                                                        {PartTensor::kLse, &from.lse},
                                                        {PartTensor::kAttention, &from.attention},
                                                        {PartTensor::kTokenScores, &from.token_scores}};
  for (const auto& [tensor, bytes] : inputs) {
    if (bytes->empty()) continue;
    PartHeader header;
    header.layer = layer;
    header.tensor = tensor;
    header.range = RangeKind::kBytes;
    header.end = static_cast<int64_t>(bytes->size());
    header.payload_bytes = header.end;
    CHUNKKV_RETURN_IF_ERROR(SendPart(stream, header, *bytes));
  }
  return absl::OkStatus();
}

absl::Status PutDriver::SendLayer(const Prompt& prompt, int32_t layer, int64_t part_tokens, int32_t stream) {
  const LayerRun& run = *FindRun(request_.layout, layer);
  if (!run.is_attention()) return SendNamed(prompt, layer, stream);
  CHUNKKV_RETURN_IF_ERROR(SendScores(prompt, layer, stream));
  for (int64_t begin = 0; begin < request_.token_count; begin += part_tokens) {
    const int64_t end = std::min(begin + part_tokens, request_.token_count);
    for (size_t tensor = 0; tensor < prompt[layer].tensors.size(); ++tensor) {
      CHUNKKV_RETURN_IF_ERROR(SendRows(prompt, layer, tensor, begin, end, stream));
    }
  }
  return absl::OkStatus();
}

absl::Status PutDriver::CommitAndWait(const std::optional<Bytes16>& content_digest) {
  session_->Commit(content_digest);
  return listener_->WaitForEnd();
}

absl::Status PutDriver::Put(const PutRequest& request, const Prompt& prompt, int64_t part_tokens) {
  CHUNKKV_RETURN_IF_ERROR(Begin(request));
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    // A failure of compaction ends the session while parts still come.
    if (!SendLayer(prompt, layer, part_tokens).ok()) return listener_->WaitForEnd();
  }
  return CommitAndWait();
}

void ExpectHolds(const EntryPtr& entry, const PutRequest& request, const Prompt& prompt,
                 const std::vector<std::vector<int32_t>>& positions) {
  ASSERT_NE(entry, nullptr);
  const EntryHeader& header = entry->header();
  EXPECT_EQ(header.token_count, request.token_count);
  ASSERT_EQ(header.groups.size(), positions.size());
  ASSERT_EQ(header.positions.size(), positions.size());
  for (size_t group = 0; group < positions.size(); ++group) {
    EXPECT_EQ(header.row_counts[group], static_cast<int64_t>(positions[group].size()));
    const bool everything = static_cast<int64_t>(positions[group].size()) == request.token_count;
    EXPECT_EQ(header.positions[group], everything ? std::vector<int32_t>() : positions[group]) << "group " << group;
  }
  EXPECT_EQ(header.BodyBytes(), static_cast<int64_t>(entry->body().size()));
  EXPECT_TRUE(VerifyBody(header, entry->body()).ok()) << VerifyBody(header, entry->body());
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    const int32_t attention = AttentionIndex(request.layout, layer);
    size_t group = 0;
    while (attention >= 0 && attention >= header.groups[group].first_layer + header.groups[group].layer_count) ++group;
    const std::vector<TensorSpec> specs = LayerTensors(request.layout, layer);
    for (size_t tensor = 0; tensor < specs.size(); ++tensor) {
      Bytes expected;
      if (specs[tensor].is_per_token()) {
        for (const int32_t position : positions[group]) {
          const auto row = prompt[layer].tensors[tensor].begin() + position * specs[tensor].row_bytes;
          expected.insert(expected.end(), row, row + specs[tensor].row_bytes);
        }
      } else {
        expected = prompt[layer].tensors[tensor];
      }
      const TensorSlot* const slot = header.FindTensor(layer, specs[tensor].kind, specs[tensor].name);
      ASSERT_NE(slot, nullptr);
      const absl::Span<const std::byte> stored = entry->TensorBytes(*slot);
      EXPECT_TRUE(std::equal(stored.begin(), stored.end(), expected.begin(), expected.end()))
          << "layer " << layer << ", tensor " << specs[tensor].name;
    }
  }
}

Bytes16 ContentDigestOf(const PutRequest& request, const Prompt& prompt) {
  std::vector<Bytes16> digests;
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    if (!FindRun(request.layout, layer)->is_attention()) continue;
    for (const Bytes& tensor : prompt[layer].tensors) digests.push_back(DigestTensor(tensor));
  }
  return CombineDigests(digests);
}

}  // namespace chunkkv
