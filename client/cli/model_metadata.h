// What a prompt file's metadata states of the model's attention. Each value is JSON text.
#ifndef CHUNKKV_CLIENT_CLI_MODEL_METADATA_H_
#define CHUNKKV_CLIENT_CLI_MODEL_METADATA_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::cli {

struct ModelMetadata {
  double scale = 0;    // 0: 1 / sqrt(D)
  double softcap = 0;  // 0: none
  std::vector<float> sink_logits;
  std::optional<RopeShape> rope;
};

// Errors: INVALID_ARGUMENT (BAD_METADATA) naming the value.
absl::StatusOr<ModelMetadata> ReadModelMetadata(const std::map<std::string, std::string>& metadata);

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_MODEL_METADATA_H_
