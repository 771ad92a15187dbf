// Parts in regions: taken under the lock as all parts are, read on the strand when what is needed of them is known.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/session/session_core.h"

namespace chunkkv {
namespace {

// Kept rows that one thread reads at a time.
constexpr int64_t kReadBytes = int64_t{4} << 20;

// `target` from row `first` on.
RowTarget RowsFrom(RowTarget target, int64_t first) {
  target.data += first * target.token_stride_bytes;
  return target;
}

absl::Status OfPart(const absl::Status& status, const PlacedPart& part) {
  PartHeader header;
  header.layer = part.layer;
  header.tensor = part.part;
  return ErrorStatus(status.code(), StatusReason(status),
                     absl::StrCat("part of ", NameOf(header), ": ", status.message()));
}

}  // namespace

absl::StatusOr<bool> SessionCore::TakeRegionPart(int32_t stream, const PartHeader& header, RegionAccess access,
                                                 const RegionSlice& slice, std::function<void()> resume) {
  // Without the lock, since entries may have to make room.
  const size_t block_count = slice.pages ? slice.pages->block_ids.size() : 0;
  absl::StatusOr<BudgetShare> share =
      store_.Reserve(static_cast<int64_t>(sizeof(RegionSource) + block_count * sizeof(int32_t)));
  absl::StatusOr<bool> taken = false;
  if (!share.ok()) {
    taken = share.status();
  } else {
    MutexLock lock(mutex_);
    if (end_.has_value()) return end_->ok() ? AfterCommit() : *end_;
    taken = TakeRegionPartLocked(stream, header, std::move(access), slice, *std::move(share), resume);
  }
  if (!taken.ok()) End(taken.status());
  callbacks_.Deliver();
  return taken;
}

absl::StatusOr<bool> SessionCore::TakeRegionPartLocked(int32_t stream, const PartHeader& header, RegionAccess access,
                                                       const RegionSlice& slice, BudgetShare share,
                                                       std::function<void()>& resume) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::optional<PlacedPart> admitted, Admit(stream, header, resume));
  if (!admitted.has_value()) return false;
  const PlacedPart& part = *admitted;
  if (part.kind == PlacedPart::Kind::kNamed && body_ == nullptr) return TensorsAfterSelection(part.layer);
  absl::StatusOr<RegionRows> rows = BindToRegion(part, std::move(access), slice, std::move(share));
  if (!rows.ok()) return OfPart(rows.status(), part);
  received_bytes_ += rows->source->part.size_bytes();
  if (part.kind == PlacedPart::Kind::kRows && put_.row_place != RowPlace::kBody && request_.content_digest) {
    return Unimplemented("CONTENT_DIGEST", "content_digest: of rows in a region only the kept ones are read");
  }
  if (part.kind == PlacedPart::Kind::kDropped) {
    Consume(part);
  } else if (WaitsInRegion(part)) {
    region_rows_[part.layer].push_back(*std::move(rows));
  } else {
    ++region_reads_;
    strand_->Post([self = shared_from_this(), rows = *std::move(rows)] {
      if (!self->cancelled_.load(std::memory_order_relaxed)) self->ReadRegionPart(rows);
    });
    return true;
  }
  CHUNKKV_RETURN_IF_ERROR(Arrived(part));
  return true;
}

absl::StatusOr<RegionRows> SessionCore::BindToRegion(const PlacedPart& part, RegionAccess access,
                                                     const RegionSlice& slice, BudgetShare share) {
  RegionRows rows;
  rows.part = part;
  std::optional<RegionPart> bound;
  if (part.kind == PlacedPart::Kind::kRows) {
    const LayerPlan& layer = put_.layers[part.layer];
    const TensorSpec& spec = layer.tensors[part.tensor];
    const RowShape shape = {part.end - part.begin, spec.head_count, spec.head_bytes(), layer.head_major_parts};
    CHUNKKV_ASSIGN_OR_RETURN(bound, RegionPart::OfRows(std::move(access), slice, shape));
  } else {
    CHUNKKV_ASSIGN_OR_RETURN(bound, RegionPart::OfBytes(std::move(access), slice, part.end - part.begin));
  }
  rows.source = std::make_shared<RegionSource>(RegionSource{*std::move(bound), std::move(share)});
  return rows;
}

bool SessionCore::WaitsInRegion(const PlacedPart& part) const {
  if (part.kind != PlacedPart::Kind::kRows || put_.row_place != RowPlace::kStaged) return false;
  const bool is_scored_by = put_.layers[part.layer].is_scored && put_.plan.source == ScoreSource::kQueryWindow &&
                            part.part == PartTensor::kKeys;
  return !is_scored_by;
}

void SessionCore::ReadRegionPart(const RegionRows& rows) {
  if (const absl::Status status = ReadInto(rows.part, rows.source->part); !status.ok()) {
    return End(OfPart(status, rows.part));
  }
  absl::Status failure;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return;
    --region_reads_;
    Consume(rows.part);
    failure = Arrived(rows.part);
  }
  if (!failure.ok()) End(failure);
  callbacks_.Deliver();
}

absl::Status SessionCore::ReadInto(const PlacedPart& part, const RegionPart& source) {
  const LayerPlan& layer = put_.layers[part.layer];
  BytesPlace place;
  std::shared_ptr<EntryBody> body;
  std::shared_ptr<LayerStage> stage;
  PositionsPtr positions;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return *end_;
    body = body_;
    if (part.kind != PlacedPart::Kind::kRows) {
      CHUNKKV_ASSIGN_OR_RETURN(place, PlaceBytes(part));
    } else if (put_.row_place == RowPlace::kStaged) {
      CHUNKKV_ASSIGN_OR_RETURN(stage, StageOf(layer));
    } else if (put_.row_place == RowPlace::kKeptInBody) {
      positions = positions_[layer.group];
    }
  }
  if (part.kind != PlacedPart::Kind::kRows) return source.ReadBytes(place.bytes, runner_.cancelled());
  if (positions != nullptr) return ReadKept(part, source, *positions, *body);
  const RowTarget target = stage != nullptr ? stage->Target(part.tensor) : body->Target(part.layer, part.tensor);
  const RowRun all = {0, part.end - part.begin};
  return source.ReadRows(absl::MakeConstSpan(&all, 1), RowsFrom(target, part.begin), runner_.cancelled());
}

absl::Status SessionCore::ReadKept(const PlacedPart& part, const RegionPart& source,
                                   absl::Span<const int32_t> positions, EntryBody& body) {
  const auto* const begin = std::lower_bound(positions.begin(), positions.end(), part.begin);
  const auto* const end = std::lower_bound(begin, positions.end(), part.end);
  const RowTarget target = body.Target(part.layer, part.tensor);
  const int64_t rows_at_once =
      std::max<int64_t>(1, kReadBytes / put_.layers[part.layer].tensors[part.tensor].row_bytes);
  const int64_t job_count = (end - begin + rows_at_once - 1) / rows_at_once;
  std::vector<absl::Status> statuses(job_count);
  runner_.RunParallel(job_count, [&](size_t job) {
    const auto* const first = begin + static_cast<int64_t>(job) * rows_at_once;
    const auto* const last = first + std::min<int64_t>(rows_at_once, end - first);
    const std::vector<RowRun> runs = RunsOf(absl::MakeConstSpan(first, last), part.begin, part.end);
    statuses[job] = source.ReadRows(runs, RowsFrom(target, first - positions.begin()), runner_.cancelled());
  });
  for (const absl::Status& status : statuses) CHUNKKV_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

void SessionCore::Consume(const PlacedPart& part) {
  PartHeader header;
  header.layer = part.layer;
  header.tensor = part.part;
  header.begin = part.begin;
  header.end = part.end;
  if (part.kind == PlacedPart::Kind::kNamed) header.name = put_.layers[part.layer].tensors[part.tensor].name;
  callbacks_.Push([this, header = std::move(header)] { listener_->OnConsumed(header); });
}

}  // namespace chunkkv
