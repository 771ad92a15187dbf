#include "chunkkv/client/put_session.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/convert.h"
#include "client/cpp/expected_entry.h"
#include "client/cpp/put_stream.h"
#include "client/cpp/region_impl.h"
#include "service/base/status_macros.h"

namespace chunkkv::client {
namespace {

absl::Status BadArray(int32_t layer, const std::string& text) {
  return InvalidArgument("BAD_ARRAY", absl::StrCat("layer ", layer, ": ", text));
}

bool IsPerToken(PartTensor tensor) { return tensor <= PartTensor::kValueScales; }

}  // namespace

class PutSession::Impl {
 public:
  Impl(Client::Impl& client, const PutRequest& request, const CallOptions& options)
      : client_(client),
        layout_(request.layout),
        options_(options),
        key_(KeyOf(request.prompt)),
        fingerprint_(Fingerprint(request.model)),
        variant_(VariantOf(request.spec)),
        on_sent_(request.on_sent) {
    // Positions of the caller's own choice must arrive before their rows: one stream keeps that order.
    const int32_t asked = request.spec.policy == Policy::kExternal ? 1 : request.channel_count;
    channel_count_ = std::clamp(asked, 1, kMaxChannels);
  }

  ~Impl() {
    for (const auto& stream : streams_) stream->Cancel();
    streams_.clear();
    borrowed_->AwaitNone();
    QuiesceIfFailed();
  }

  absl::Status Begin(const PutRequest& request) {
    OpenStream();
    v1::PutCacheRequest message;
    ToProto(request, message.mutable_begin());
    if (client_.HasRegions()) transfer_id_ = NewTransferId();
    message.mutable_begin()->set_transfer_id(transfer_id_);
    streams_[0]->Write(message);
    {
      MutexLock lock(mutex_);
      while (!has_begun_ && !main_ended_) changed_.Wait(mutex_);
      if (!has_begun_) return FailureLocked();
    }
    if (begun_.already_stored) return absl::OkStatus();
    for (int32_t index = 1; index < channel_count_; ++index) {
      OpenStream();
      v1::PutCacheRequest attach;
      attach.mutable_attach()->set_session_id(ToString(begun_.session_id));
      if (!streams_[index]->Write(attach)) return Failure();
    }
    return absl::OkStatus();
  }

  const PutBegun& begun() const { return begun_; }

  absl::Status SendRows(int32_t layer, PartTensor tensor, v1::RangeKind range, int64_t begin, int64_t end,
                        absl::Span<const std::byte> bytes) {
    if (begun_.already_stored) return absl::OkStatus();
    const TensorSpec* spec = FindTensor(layer, tensor);
    if (spec == nullptr) return BadArray(layer, "the layout has no such per-token tensor");
    if (begin < 0 || end < begin || static_cast<int64_t>(bytes.size()) != (end - begin) * spec->row_bytes) {
      return BadArray(layer, absl::StrCat("tensor ", spec->name, " has ", bytes.size(), " bytes, expected ",
                                          spec->row_bytes, " for each of rows ", begin, " to ", end));
    }
    const bool head_major = FindRun(layout_, layer)->attention->head_major_parts && spec->head_count > 1;
    const int64_t rows_a_part = std::max<int64_t>(1, PartBytes() / std::max<int64_t>(1, spec->row_bytes));
    v1::Part part;
    part.set_layer(layer);
    part.set_tensor(static_cast<v1::TensorKind>(tensor));
    part.set_range(range);
    part.set_begin(begin);
    part.set_end(end);
    if (const Region::Impl* region = RegionOf(bytes)) return WriteSlice(std::move(part), *region, bytes);
    for (int64_t first = begin; first < end; first += rows_a_part) {
      const int64_t last = std::min(end, first + rows_a_part);
      part.set_begin(first);
      part.set_end(last);
      if (head_major) {
        CHUNKKV_RETURN_IF_ERROR(WriteHeadMajor(part, *spec, begin, end, bytes));
      } else {
        CHUNKKV_RETURN_IF_ERROR(
            Write(part, bytes.subspan((first - begin) * spec->row_bytes, (last - first) * spec->row_bytes), nullptr));
      }
    }
    return absl::OkStatus();
  }

  absl::Status SendBytes(int32_t layer, PartTensor tensor, absl::Span<const std::byte> bytes, std::string_view name) {
    if (begun_.already_stored) return absl::OkStatus();
    if (IsPerToken(tensor)) return BadArray(layer, "per-token tensors are sent by tokens or kept rows");
    v1::Part part;
    part.set_layer(layer);
    part.set_tensor(static_cast<v1::TensorKind>(tensor));
    part.set_name(std::string(name));
    part.set_range(v1::RANGE_KIND_BYTES);
    part.set_begin(0);
    part.set_end(static_cast<int64_t>(bytes.size()));
    if (const Region::Impl* region = RegionOf(bytes)) return WriteSlice(std::move(part), *region, bytes);
    for (size_t first = 0; first < bytes.size(); first += PartBytes()) {
      const size_t size = std::min<size_t>(PartBytes(), bytes.size() - first);
      part.set_begin(static_cast<int64_t>(first));
      part.set_end(static_cast<int64_t>(first + size));
      CHUNKKV_RETURN_IF_ERROR(Write(part, bytes.subspan(first, size), nullptr));
    }
    return absl::OkStatus();
  }

  absl::Status SendPositions(int32_t group, absl::Span<const int32_t> positions) {
    if (begun_.already_stored) return absl::OkStatus();
    v1::PutCacheRequest message;
    message.mutable_positions()->set_group(group);
    message.mutable_positions()->mutable_positions()->Add(positions.begin(), positions.end());
    return streams_[0]->Write(message) ? absl::OkStatus() : Failure();
  }

  absl::StatusOr<Selection> AwaitSelection(int32_t group) {
    MutexLock lock(mutex_);
    while (!selections_.count(group) && !main_ended_) changed_.Wait(mutex_);
    const auto found = selections_.find(group);
    if (found == selections_.end()) return FailureLocked();
    return found->second;
  }

  void Flush() { borrowed_->AwaitNone(); }

  absl::StatusOr<PutResult> Commit(const std::optional<Bytes16>& content_digest) {
    if (begun_.already_stored) {
      PutResult result;
      result.already_stored = true;
      result.entry_id = begun_.entry_id;
      result.stored_bytes = begun_.stored_bytes;
      result.durability = already_stored_durability_;
      result.key = key_.value_or(Bytes32{});
      result.fingerprint = fingerprint_;
      result.variant = variant_;
      streams_[0]->HalfClose();
      return result;
    }
    // Parts of attached streams must have arrived before the commit does.
    for (size_t index = 1; index < streams_.size(); ++index) streams_[index]->HalfClose();
    for (size_t index = 1; index < streams_.size(); ++index) streams_[index]->AwaitEnd();
    if (HasAttachedFailure()) return Failure();
    v1::PutCacheRequest message;
    message.mutable_commit();
    if (content_digest) message.mutable_commit()->set_content_digest(ToString(*content_digest));
    streams_[0]->Write(message);
    streams_[0]->HalfClose();
    streams_[0]->AwaitEnd();
    borrowed_->AwaitNone();
    QuiesceIfFailed();
    MutexLock lock(mutex_);
    if (main_status_.ok() && committed_) return *committed_;
    return FailureLocked();
  }

 private:
  int64_t PartBytes() const { return part_bytes_; }

  PutStream& StreamOf(const v1::Part& part) { return *streams_[static_cast<size_t>(part.layer()) % streams_.size()]; }

  // Null where they go inline.
  const Region::Impl* RegionOf(absl::Span<const std::byte> bytes) const {
    return transfer_id_.empty() || bytes.empty() ? nullptr : client_.FindRegion(bytes);
  }

  // A part of any size that the server reads by itself.
  absl::Status WriteSlice(v1::Part part, const Region::Impl& region, absl::Span<const std::byte> bytes) {
    v1::RegionSlice* slice = part.mutable_payload()->mutable_region();
    slice->set_region_id(region.id());
    slice->set_offset_bytes(bytes.data() - region.bytes().data());
    slice->set_length_bytes(static_cast<int64_t>(bytes.size()));
    PutStream& stream = StreamOf(part);
    v1::PutCacheRequest message;
    *message.mutable_part() = std::move(part);
    uses_regions_.store(true, std::memory_order_relaxed);
    if (!stream.Write(message)) return Failure();
    CountSent(bytes.size());
    return absl::OkStatus();
  }

  void CountSent(size_t bytes) {
    if (!on_sent_) return;
    MutexLock lock(sent_mutex_);
    sent_bytes_ += static_cast<int64_t>(bytes);
    on_sent_(sent_bytes_);
  }

  // Of a put that was committed, everything has been consumed.
  void QuiesceIfFailed() {
    if (!uses_regions_.exchange(false)) return;
    {
      MutexLock lock(mutex_);
      if (main_status_.ok() && committed_) return;
    }
    client_.Quiesce(transfer_id_);
  }

  void OpenStream() {
    const bool is_main = streams_.empty();
    streams_.push_back(std::make_unique<PutStream>(
        client_.Channel(static_cast<int32_t>(streams_.size())), client_.metadata(), options_,
        [this](const v1::PutCacheResponse& reply) { OnReply(reply); },
        [this, is_main](const absl::Status& status) { OnEnd(is_main, status); }));
  }

  void OnReply(const v1::PutCacheResponse& reply) {
    MutexLock lock(mutex_);
    if (reply.has_begun() && !has_begun_) {
      const v1::Begun& begun = reply.begun();
      has_begun_ = true;
      begun_.session_id = ToFixed<16>(begun.session_id());
      begun_.budget = begun.budget();
      begun_.max_open_layers = begun.max_open_layers();
      for (const v1::ReuseGroup& group : begun.groups()) begun_.groups.push_back(FromProto(group));
      if (begun.max_part_bytes() > 0) part_bytes_ = std::min<int64_t>(part_bytes_, begun.max_part_bytes());
      if (begun.has_already_stored()) {
        begun_.already_stored = true;
        begun_.entry_id = ToFixed<16>(begun.already_stored().entry_id());
        begun_.stored_bytes = begun.already_stored().size_bytes();
        already_stored_durability_ = static_cast<Durability>(begun.already_stored().durability());
      }
    } else if (reply.has_selection()) {
      const v1::Selection& selection = reply.selection();
      selections_[selection.group()] = {{selection.positions().begin(), selection.positions().end()},
                                        selection.everything()};
    } else if (reply.has_committed()) {
      const v1::Committed& committed = reply.committed();
      PutResult result;
      result.entry_id = ToFixed<16>(committed.entry_id());
      result.already_stored = committed.already_stored();
      result.durability = static_cast<Durability>(committed.durability());
      result.key = ToFixed<32>(committed.key());
      result.fingerprint = ToFixed<32>(committed.fingerprint());
      result.variant = ToFixed<32>(committed.variant());
      result.outcome = FromProto(committed.compaction());
      result.received_bytes = committed.received_bytes();
      result.stored_bytes = committed.stored_bytes();
      result.peak_staging_bytes = committed.peak_staging_bytes();
      result.compaction_time_us = committed.compaction_time_us();
      result.entry_digest = ToFixed<16>(committed.entry_digest());
      committed_ = std::move(result);
    }
    changed_.NotifyAll();
  }

  void OnEnd(bool is_main, const absl::Status& status) {
    MutexLock lock(mutex_);
    if (is_main) {
      main_ended_ = true;
      main_status_ = status;
    } else if (!status.ok() && attached_failure_.ok()) {
      attached_failure_ = status;
    }
    changed_.NotifyAll();
  }

  bool HasAttachedFailure() {
    MutexLock lock(mutex_);
    return !attached_failure_.ok();
  }

  // Why nothing more can be sent. The main stream knows the cause; an attached one only that the session is gone.
  absl::Status Failure() {
    MutexLock lock(mutex_);
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!main_ended_ && std::chrono::steady_clock::now() < patience) {
      changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
    }
    return FailureLocked();
  }

  absl::Status FailureLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (main_ended_ && !main_status_.ok()) return main_status_;
    if (!attached_failure_.ok()) return attached_failure_;
    return ErrorStatus(absl::StatusCode::kAborted, "PUT_ENDED", "the server ended the put before it was committed");
  }

  absl::Status Write(const v1::Part& part, absl::Span<const std::byte> bytes, std::shared_ptr<void> owner) {
    PutStream& stream = StreamOf(part);
    if (!stream.WritePart(part, bytes, std::move(owner), borrowed_)) return Failure();
    CountSent(bytes.size());
    return absl::OkStatus();
  }

  // Rows [part.begin, part.end) out of `bytes`, [heads, end - begin, size], as a part [heads, rows, size].
  absl::Status WriteHeadMajor(const v1::Part& part, const TensorSpec& spec, int64_t begin, int64_t end,
                              absl::Span<const std::byte> bytes) {
    const int64_t head_row_bytes = spec.head_bytes();
    const int64_t rows = part.end() - part.begin();
    const std::shared_ptr<std::byte[]> copy = std::make_unique_for_overwrite<std::byte[]>(rows * spec.row_bytes);
    for (int32_t head = 0; head < spec.head_count; ++head) {
      std::memcpy(copy.get() + head * rows * head_row_bytes,
                  bytes.data() + (head * (end - begin) + part.begin() - begin) * head_row_bytes, rows * head_row_bytes);
    }
    return Write(part, {copy.get(), static_cast<size_t>(rows * spec.row_bytes)}, copy);
  }

  const TensorSpec* FindTensor(int32_t layer, PartTensor tensor) {
    if (!IsPerToken(tensor)) return nullptr;
    MutexLock lock(mutex_);
    auto [found, is_new] = tensors_.try_emplace(layer);
    const LayerRun* run = FindRun(layout_, layer);
    if (is_new && run != nullptr && run->is_attention()) found->second = LayerTensors(layout_, layer);
    for (const TensorSpec& spec : found->second) {
      if (static_cast<int>(spec.kind) == static_cast<int>(tensor)) return &spec;
    }
    return nullptr;
  }

  Client::Impl& client_;
  const Layout layout_;
  const CallOptions options_;
  const std::optional<Bytes32> key_;
  const Bytes32 fingerprint_;
  const Bytes32 variant_;
  const std::function<void(int64_t)> on_sent_;
  std::string transfer_id_;  // empty: the client had no regions when the put began
  std::atomic<bool> uses_regions_{false};
  int32_t channel_count_ = 1;
  int64_t part_bytes_ = kPartBytes;
  const std::shared_ptr<BorrowedBytes> borrowed_ = std::make_shared<BorrowedBytes>();
  std::vector<std::unique_ptr<PutStream>> streams_;
  PutBegun begun_;  // settled before Begin returns
  Durability already_stored_durability_ = Durability::kUnspecified;

  Mutex sent_mutex_;  // held over on_sent_
  int64_t sent_bytes_ ABSL_GUARDED_BY(sent_mutex_) = 0;

  Mutex mutex_;
  CondVar changed_;
  bool has_begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool main_ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status main_status_ ABSL_GUARDED_BY(mutex_);
  absl::Status attached_failure_ ABSL_GUARDED_BY(mutex_);
  std::map<int32_t, Selection> selections_ ABSL_GUARDED_BY(mutex_);
  std::map<int32_t, std::vector<TensorSpec>> tensors_ ABSL_GUARDED_BY(mutex_);
  std::optional<PutResult> committed_ ABSL_GUARDED_BY(mutex_);
};

PutSession::PutSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PutSession::~PutSession() = default;

const PutBegun& PutSession::begun() const { return impl_->begun(); }

absl::Status PutSession::SendTokens(int32_t layer, PartTensor tensor, int64_t begin, int64_t end,
                                    absl::Span<const std::byte> bytes) {
  return impl_->SendRows(layer, tensor, v1::RANGE_KIND_TOKENS, begin, end, bytes);
}

absl::Status PutSession::SendKeptRows(int32_t layer, PartTensor tensor, int64_t begin, int64_t end,
                                      absl::Span<const std::byte> bytes) {
  return impl_->SendRows(layer, tensor, v1::RANGE_KIND_KEPT_ROWS, begin, end, bytes);
}

absl::Status PutSession::SendBytes(int32_t layer, PartTensor tensor, absl::Span<const std::byte> bytes,
                                   std::string_view name) {
  return impl_->SendBytes(layer, tensor, bytes, name);
}

absl::Status PutSession::SendPositions(int32_t group, absl::Span<const int32_t> positions) {
  return impl_->SendPositions(group, positions);
}

absl::StatusOr<Selection> PutSession::AwaitSelection(int32_t group) { return impl_->AwaitSelection(group); }

void PutSession::Flush() { impl_->Flush(); }

absl::StatusOr<PutResult> PutSession::Commit(const std::optional<Bytes16>& content_digest) {
  return impl_->Commit(content_digest);
}

absl::StatusOr<std::unique_ptr<PutSession>> OpenPut(Client::Impl& client, const PutRequest& request,
                                                    const CallOptions& options) {
  auto impl = std::make_unique<PutSession::Impl>(client, request, options);
  CHUNKKV_RETURN_IF_ERROR(impl->Begin(request));
  return std::make_unique<PutSession>(std::move(impl));
}

}  // namespace chunkkv::client
