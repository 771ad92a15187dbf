#include "service/session/session_core.h"

#include <algorithm>
#include <iterator>

#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

EntryIdentity IdentityOf(const PutRequest& request) {
  EntryIdentity identity;
  identity.tenant = request.tenant;
  identity.fingerprint = Fingerprint(request.model);
  identity.shard = request.shard;
  identity.key = request.key;
  identity.variant = VariantOf(request.spec);
  return identity;
}

}  // namespace

SessionCore::SessionCore(PutRequest request, const SessionLimits& limits, PutPlan put, StagingPlan staging,
                         BudgetShare share, InFlightShare in_flight, EntryStore& store, const Compactor& compactor,
                         Executor& executor, const Clock& clock, PutSession::Listener* listener, std::unique_ptr<PutScores> recorded)
    : request_(std::move(request)),
      limits_(limits),
      put_(std::move(put)),
      staging_(std::move(staging)),
      store_(store),
      executor_(executor),
      clock_(clock),
      listener_(listener),
      identity_(IdentityOf(request_)),
      memory_(std::move(share), std::move(in_flight), /*recycles=*/request_.order == PartOrder::kLayerMajor),
      strand_(std::make_shared<Strand>(executor, TaskQueue::LineOf(request_.tenant))),
      arrivals_(request_, put_, limits_),
      stages_(put_.layers.size()),
      scores_(put_.plan.layers.size()),
      positions_(put_.plan.groups.size()),
      region_rows_(put_.layers.size()),
      score_posted_(put_.layers.size(), false),
      receive_posted_(put_.layers.size(), false),
      runner_(put_.plan, compactor, executor, memory_, staging_.workspace_bytes, limits.max_sm_count,
              [this] { return cancelled_.load(std::memory_order_relaxed); }),
      selector_(put_, runner_),
      recorded_(std::move(recorded)),
      row_counts_(put_.row_counts),
      unselected_(put_.plan.groups.size()),
      content_digests_(put_.layers.size()) {}

SessionCore::~SessionCore() = default;

absl::Status SessionCore::Begin() {
  std::vector<PositionsPtr> known(put_.plan.groups.size());
  if (put_.keeps_everything) {
    selector_.KeepEverything();
  } else if (!put_.is_scored && !put_.is_external) {
    for (size_t group = 0; group < known.size(); ++group) {
      CHUNKKV_ASSIGN_OR_RETURN(known[group], selector_.Select(static_cast<int32_t>(group)));
    }
  }
  {
    MutexLock lock(mutex_);
    if (!staging_.slots.empty() || staging_.body_bytes > 0) {
      CHUNKKV_ASSIGN_OR_RETURN(BufferPtr buffer, memory_.Acquire(staging_.body_bytes, BodyKind()));
      body_ = std::make_shared<EntryBody>(put_.layers, std::move(staging_.slots), std::move(buffer));
    }
    for (const LayerPlan& layer : put_.layers) {
      if (!layer.is_scored) continue;
      const ScoreInputBytes& bytes = put_.score_bytes[layer.attention_layer];
      const int64_t attention = staging_.attention_buffer_bytes > 0 ? staging_.attention_buffer_bytes : bytes.attention;
      scores_[layer.attention_layer] = std::make_shared<ScoreInputs>(bytes, attention, put_.plan);
    }
  }
  token_ = store_.BeginPut(identity_);
  if (put_.keeps_everything || (!put_.is_scored && !put_.is_external)) {
    for (size_t group = 0; group < known.size(); ++group) {
      PublishSelection(static_cast<int32_t>(group), std::move(known[group]));
    }
  }
  return absl::OkStatus();
}

void SessionCore::End(const absl::Status& status) {
  CHUNKKV_CHECK(!status.ok());
  std::vector<std::shared_ptr<void>> memory;
  {
    MutexLock lock(mutex_);
    if (end_.has_value() || committed_) return;
    end_ = status;
    cancelled_.store(true, std::memory_order_relaxed);
    memory.push_back(std::exchange(body_, nullptr));
    std::ranges::move(std::exchange(free_sinks_, {}), std::back_inserter(memory));
    std::ranges::move(std::exchange(stages_, {}), std::back_inserter(memory));
    std::ranges::move(std::exchange(scores_, {}), std::back_inserter(memory));
    for (std::vector<RegionRows>& layer : region_rows_) {
      for (RegionRows& rows : layer) {
        memory.push_back(std::move(rows.source));
      }
    }
    region_rows_.clear();
    Wake();
    callbacks_.PushLast([this, status] { listener_->OnEnd(status, PutSummary()); });
  }
  std::ranges::move(memory_.Close(), std::back_inserter(memory));
  FreeLater(std::move(memory));
  strand_->Post([self = shared_from_this()] { self->ReleaseStrandState(); });
  store_.EndPut(token_);
  callbacks_.Deliver();
}

void SessionCore::FreeLater(std::vector<std::shared_ptr<void>> memory) {
  executor_.PostNext([memory = std::move(memory)] {});
}

void SessionCore::Detach() {
  callbacks_.Close();
  End(absl::CancelledError("the session was abandoned"));
}

void SessionCore::ReleaseStrandState() {
  runner_.Release();
  final_body_ = nullptr;
  recorded_ = nullptr;
}

}  // namespace chunkkv
