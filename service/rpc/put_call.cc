#include "service/rpc/put_call.h"

#include <algorithm>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/random.h"
#include "service/base/status_macros.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_part.h"
#include "service/rpc/wire_put.h"
#include "service/rpc/wire_spec.h"

namespace chunkkv::rpc {
namespace {

// What a part is called in answers.
template <typename Message>
void SetPart(const PartHeader& part, Message* message) {
  message->set_layer(part.layer);
  message->set_tensor(ToWire(part.tensor));
  message->set_begin(part.begin);
  message->set_end(part.end);
  message->set_name(part.name);
}

// Rows that are kept, of all rows of all attention layers; empty where nothing was left out by a choice.
std::optional<double> KeptShare(const EntryHeader& header) {
  if (header.outcome.policy_applied == Policy::kFull || header.token_count == 0) return std::nullopt;
  double kept_rows = 0;
  double layer_count = 0;
  for (size_t group = 0; group < header.groups.size(); ++group) {
    const auto layers = static_cast<double>(header.groups[group].layer_count);
    kept_rows += layers * static_cast<double>(header.row_counts[group]);
    layer_count += layers;
  }
  if (layer_count == 0) return std::nullopt;
  return kept_rows / (layer_count * static_cast<double>(header.token_count));
}

std::optional<double> LeastMass(const EntryHeader& header) {
  const std::vector<LayerMass>& masses = header.outcome.retained_mass;
  if (masses.empty()) return std::nullopt;
  return std::ranges::min_element(masses, {}, &LayerMass::mass)->mass;
}

}  // namespace

PutCall::PutCall(RpcContext& context, std::string tenant, TransferPtr transfer, std::shared_ptr<PutStream> first)
    : context_(context), tenant_(std::move(tenant)), transfer_(std::move(transfer)), first_(std::move(first)) {
  FillRandom(id_.data(), id_.size());
}

absl::StatusOr<std::shared_ptr<PutCall>> PutCall::Begin(RpcContext& context, PutRequest request, TransferPtr transfer,
                                                        std::shared_ptr<PutStream> first) {
  std::shared_ptr<PutCall> call(new PutCall(context, request.tenant, std::move(transfer), std::move(first)));
  const std::weak_ptr<PutCall> weak = call;
  call->idle_ = IdleTimer::Start(
      context.timers, context.limits.idle_timeout_ms,
      [weak] {
        const auto idle_call = weak.lock();
        if (idle_call == nullptr) return;
        idle_call->Fail(ErrorStatus(absl::StatusCode::kDeadlineExceeded, "IDLE", "nothing arrived for the idle limit"));
      },
      [weak] {
        const auto busy_call = weak.lock();
        return busy_call != nullptr && busy_call->session_->IsWorking();
      });
  call->idle_->Pause();  // until there is a session
  CHUNKKV_ASSIGN_OR_RETURN(
      call->session_, PutSession::Create(std::move(request), context.session_limits, context.store, context.compactor,
                                         context.compaction_executor, context.clock, call.get(), &context.recorder));
  CHUNKKV_ASSIGN_OR_RETURN(call->first_stream_id_, call->session_->OpenStream());
  context.sessions.Add(call->id_, call->tenant_, call);
  call->Announce();
  return call;
}

void PutCall::Announce() {
  v1::PutCacheResponse response;
  v1::Begun* begun = response.mutable_begun();
  begun->set_session_id(ToString(id_));
  begun->set_budget(session_->budget());
  for (const auto change : ToWire(session_->budget_change())) begun->add_budget_changes(change);
  for (const ReuseGroup& group : session_->groups()) ToWire(group, begun->add_groups());
  begun->set_max_open_layers(context_.session_limits.max_open_layers);
  begun->set_max_part_bytes(context_.session_limits.max_part_bytes);
  bool ended;
  {
    MutexLock lock(mutex_);
    ended = ended_;
    if (!ended) {
      self_ = shared_from_this();
      first_->Send(response);
      for (const v1::PutCacheResponse& early : early_) first_->Send(early);
      early_.clear();
      announced_ = true;
    }
  }
  if (ended) context_.sessions.Remove(id_);
  idle_->Resume();
}

absl::StatusOr<PutSession::StreamId> PutCall::Attach(std::shared_ptr<PutStream> stream) {
  CHUNKKV_ASSIGN_OR_RETURN(const PutSession::StreamId id, session_->OpenStream());
  MutexLock lock(mutex_);
  if (ended_) return ErrorStatus(absl::StatusCode::kNotFound, "SESSION_NOT_FOUND", "attach.session_id: it has ended");
  attached_.push_back(std::move(stream));
  ++open_streams_;
  return id;
}

void PutCall::HalfClose(const PutStream* stream, PutSession::StreamId id) {
  bool nobody_commits = false;
  {
    MutexLock lock(mutex_);
    std::erase_if(attached_, [stream](const auto& attached) { return attached.get() == stream; });
    nobody_commits = --open_streams_ == 0 && !has_commit_;
  }
  if (nobody_commits) return Fail(InvalidArgument("NO_COMMIT", "every stream ended before a commit"));
  session_->CloseStream(id);
}

void PutCall::Commit(const std::shared_ptr<PutStream>& committer, PutSession::StreamId id,
                     const std::optional<Bytes16>& content_digest) {
  {
    MutexLock lock(mutex_);
    has_commit_ = true;
    // Once the end has been told, nobody would let go of it again.
    if (!ended_ && committer != first_) committer_ = committer;
  }
  session_->Commit(content_digest, id);
}

void PutCall::OnSelection(int32_t group, absl::Span<const int32_t> positions, bool everything) {
  v1::PutCacheResponse response;
  v1::Selection* selection = response.mutable_selection();
  selection->set_group(group);
  selection->set_everything(everything);
  if (!everything) selection->mutable_positions()->Add(positions.begin(), positions.end());
  Tell(std::move(response));
}

void PutCall::OnConsumed(const PartHeader& part) {
  v1::PutCacheResponse response;
  SetPart(part, response.mutable_consumed());
  Tell(std::move(response));
}

void PutCall::OnReady(const PartHeader& part, const Bytes16& channel_id, int64_t sequence) {
  v1::PutCacheResponse response;
  v1::Ready* ready = response.mutable_ready();
  ready->set_channel_id(ToString(channel_id));
  ready->set_sequence(sequence);
  SetPart(part, ready);
  Tell(std::move(response));
}

void PutCall::Tell(v1::PutCacheResponse response) {
  MutexLock lock(mutex_);
  if (!announced_) {
    early_.push_back(std::move(response));
    return;
  }
  idle_->Touch();
  if (first_ != nullptr) first_->Send(response);
}

absl::StatusOr<RegionAccess> PutCall::AccessTo(const Bytes16& region_id) const {
  CHUNKKV_RETURN_IF_ERROR(context_.local.CheckEnabled());
  if (transfer_ == nullptr) {
    return InvalidArgument("TRANSFER_ID_MISSING", "begin.transfer_id: needed where parts lie in regions");
  }
  RegionAccess access;
  CHUNKKV_ASSIGN_OR_RETURN(access.region, context_.local.regions.Find(transfer_->tenant(), region_id));
  access.transfer = transfer_;
  return access;
}

absl::StatusOr<ChannelAccess> PutCall::AccessToChannel(const Bytes16& channel_id) const {
  return ChannelAccess::To(context_.channels, tenant_, channel_id, group_, transfer_);
}

void PutCall::OnEnd(const absl::Status& status, const PutSummary& summary) {
  std::shared_ptr<PutCall> self;
  std::vector<std::shared_ptr<PutStream>> streams;
  std::vector<std::shared_ptr<PutStream>> told;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    self = std::move(self_);
    told.push_back(first_);
    if (committer_ != nullptr) told.push_back(std::move(committer_));
    streams = std::move(attached_);
    streams.push_back(std::move(first_));
  }
  idle_->Stop();
  group_->CancelAll();
  context_.sessions.Remove(id_);
  if (status.ok()) {
    const EntryHeader& header = summary.entry->header();
    context_.metrics.CountPut(1e-6 * static_cast<double>(summary.compaction_time_us), KeptShare(header),
                              LeastMass(header));
    v1::PutCacheResponse response;
    ToWire(summary, response.mutable_committed());
    for (const auto& stream : told) stream->Send(response);
    streams.back()->Received(summary.received_bytes);
  }
  for (const auto& stream : streams) stream->End(status);
}

}  // namespace chunkkv::rpc
