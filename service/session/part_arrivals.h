// Which parts may come now, and what has come: layout, order and ranges of a put, without its bytes.
#ifndef CHUNKKV_SERVICE_SESSION_PART_ARRIVALS_H_
#define CHUNKKV_SERVICE_SESSION_PART_ARRIVALS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "service/session/part_coverage.h"
#include "service/session/put_plan.h"
#include "service/session/put_request.h"

namespace chunkkv {

struct SessionLimits;

// A part that has been found right, and its range reserved.
struct PlacedPart {
  enum class Kind : uint8_t { kRows, kNamed, kScores, kDropped };
  Kind kind = Kind::kRows;
  int32_t layer = 0;
  size_t tensor = 0;  // kRows, kNamed: in the layer's order
  PartTensor part = PartTensor::kKeys;
  int64_t begin = 0;
  int64_t end = 0;
};

// "layer 3, tensor keys", for errors.
std::string NameOf(const PartHeader& header);
// INVALID_ARGUMENT: `what` is wrong with this part.
absl::Status BadPart(const char* reason, const PartHeader& header, const std::string& what);

// Not thread-safe.
class PartArrivals {
 public:
  // Between parts of one tensor, of all tensors together.
  static constexpr int64_t kMaxGaps = 16'384;

  // Everything must outlive this.
  PartArrivals(const PutRequest& request, const PutPlan& put, const SessionLimits& limits);

  // --- Streams ---
  int32_t OpenStream();
  // False where there is no such open stream.
  bool CloseStream(int32_t stream);
  bool IsOpen(int32_t stream) const;
  int32_t open_streams() const { return open_streams_; }
  // Whether any stream but this one is open.
  bool HasOtherStreams(int32_t stream) const;
  // Whether every open stream is waiting for layers that others must bring.
  bool AllWait() const;

  // --- Parts ---
  // `later`: ahead of what may be staged now; nothing has changed, and the stream counts as waiting until it places a
  // part. Errors: see PutSession::PlacePart.
  struct Decision {
    bool later = false;
    PlacedPart part;
  };
  absl::StatusOr<Decision> Place(int32_t stream, const PartHeader& header);
  // The bytes of `part` are there.
  void Finish(const PlacedPart& part);

  // --- Progress ---
  // Rows of `group` are known to be `rows`.
  void MarkSelected(int32_t group, int64_t rows);
  bool IsSelected(int32_t group) const { return selected_[group]; }
  // Token scores of this layer have been computed.
  void MarkScored(int32_t layer);
  // Nothing of this layer is staged any more.
  void MarkReduced(int32_t layer);

  // All per-token or named tensors of `layer` are there.
  bool IsLayerComplete(int32_t layer) const;
  // What scoring `layer` reads is there.
  bool CanScore(int32_t layer) const;
  bool IsComplete() const;
  // The first thing that is not there: LAYER_MISSING, GAP, SCORES_MISSING, POSITIONS_MISSING. Not OK.
  absl::Status Missing() const;

 private:
  struct Stream {
    bool open = true;
    bool waits = false;
    int32_t row_layer = 0;        // lowest layer that may still come
    int32_t attention_layer = 0;  // likewise of attention, where rows wait for the selection
  };
  struct Layer {
    std::vector<PartCoverage> tensors;
    PartCoverage queries;
    PartCoverage lse;
    PartCoverage attention;
    PartCoverage token_scores;
    bool scored = false;
    bool reduced = false;
  };

  absl::StatusOr<PlacedPart> Identify(const PartHeader& header) const;
  absl::Status CheckRange(const PartHeader& header, int64_t total, int64_t unit_bytes) const;
  // The stream's cursor that orders `part`; null where order does not matter.
  int32_t* CursorOf(Stream& stream, const PlacedPart& part) const;
  bool MustWait(const PlacedPart& part) const;
  const PartCoverage& CoverageOf(const PlacedPart& part) const;
  PartCoverage& CoverageOf(const PlacedPart& part);
  absl::Status MissingOf(int32_t layer) const;

  const PutRequest& request_;
  const PutPlan& put_;
  const SessionLimits& limits_;
  std::vector<Stream> streams_;
  int32_t open_streams_ = 0;
  std::vector<Layer> layers_;
  std::vector<bool> selected_;
  int64_t gap_count_ = 0;
  int32_t lowest_unreduced_ = 0;
  std::vector<int32_t> scored_rank_;  // per layer: scored layers before it
  int32_t lowest_unscored_rank_ = 0;
  std::vector<int32_t> scored_layers_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_PART_ARRIVALS_H_
