#include "service/session/put_session.h"

#include <algorithm>
#include <utility>

#include "service/base/status_macros.h"
#include "service/session/put_plan.h"
#include "service/session/score_recorder.h"
#include "service/session/session_core.h"
#include "service/session/staging_plan.h"

namespace chunkkv {
namespace {

// A copy for the length of one call: a callback within it may let go of the session.
std::shared_ptr<SessionCore> Core(const std::shared_ptr<SessionCore>& core) { return core; }

}  // namespace

absl::StatusOr<std::shared_ptr<PutSession>> PutSession::Create(PutRequest request,
                                                               const SessionLimits& server_limits,
                                                               EntryStore& store, const Compactor& compactor,
                                                               Executor& executor, const Clock& clock,
                                                               Listener* listener, ScoreRecorder* recorder) {
  SessionLimits limits = server_limits;
  limits.max_pin_ms = std::min(limits.max_pin_ms, store.MaxPinMs(request.tenant));
  CHUNKKV_ASSIGN_OR_RETURN(PutPlan put, MakePutPlan(request, limits));
  CHUNKKV_ASSIGN_OR_RETURN(StagingPlan staging, MakeStagingPlan(request, put, limits, compactor));
  CHUNKKV_RETURN_IF_ERROR(store.CheckEntrySize(request.tenant, staging.largest_entry_bytes));
  CHUNKKV_ASSIGN_OR_RETURN(InFlightShare in_flight, store.HoldInFlight(request.tenant, staging.ReservedBytes()));
  CHUNKKV_ASSIGN_OR_RETURN(BudgetShare share, store.Reserve(staging.ReservedBytes()));
  std::unique_ptr<PutScores> recorded = recorder == nullptr ? nullptr : recorder->BeginPut(request, put, store);
  auto core =
      std::make_shared<SessionCore>(std::move(request), limits, std::move(put), std::move(staging), std::move(share),
                                    std::move(in_flight), store, compactor, executor, clock, listener, std::move(recorded));
  CHUNKKV_RETURN_IF_ERROR(core->Begin());
  return std::shared_ptr<PutSession>(new PutSession(std::move(core)));
}

PutSession::PutSession(std::shared_ptr<SessionCore> core) : core_(std::move(core)) {}

PutSession::~PutSession() { core_->Detach(); }

int64_t PutSession::budget() const { return core_->put().plan.budget; }

const BudgetChange& PutSession::budget_change() const { return core_->put().plan.budget_change; }

const std::vector<ReuseGroup>& PutSession::groups() const { return core_->put().plan.groups; }

absl::StatusOr<PutSession::StreamId> PutSession::OpenStream() { return Core(core_)->OpenStream(); }

void PutSession::CloseStream(StreamId stream) { Core(core_)->CloseStream(stream); }

absl::StatusOr<PutSession::Placement> PutSession::PlacePart(StreamId stream, const PartHeader& header,
                                                            std::function<void()> resume) {
  return Core(core_)->PlacePart(stream, header, std::move(resume));
}

absl::Status PutSession::FinishPart(uint64_t ticket, bool checksum_matches) {
  return Core(core_)->FinishPart(ticket, checksum_matches);
}

absl::StatusOr<bool> PutSession::TakeRegionPart(StreamId stream, const PartHeader& header, RegionAccess access,
                                                const RegionSlice& slice, std::function<void()> resume) {
  return Core(core_)->TakeRegionPart(stream, header, std::move(access), slice, std::move(resume));
}

absl::Status PutSession::SetPositions(int32_t group, absl::Span<const int32_t> positions) {
  return Core(core_)->SetPositions(group, positions);
}

void PutSession::Commit(const std::optional<Bytes16>& content_digest, StreamId stream) {
  Core(core_)->Commit(content_digest, stream);
}

void PutSession::Abort(const absl::Status& status) { Core(core_)->End(status); }

bool PutSession::IsWorking() const { return core_->IsWorking(); }

void PutSession::EndIfStalled() { Core(core_)->EndIfStalled(); }

}  // namespace chunkkv
