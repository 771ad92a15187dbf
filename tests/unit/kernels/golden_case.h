// A golden vector as kernels take it: spec, shape and inputs from a file and its arguments.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_CASE_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_CASE_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "tests/unit/kernels/compaction_run.h"
#include "tests/unit/kernels/golden_file.h"

namespace chunkkv::testing {

struct GoldenCase {
  GoldenCase(const std::string& input_path, const nlohmann::json& arguments);

  GoldenFile file;  // owns what `layers` views
  CompactionSpec spec;
  CompactionShape shape;
  std::vector<LayerInput> layers;
  std::optional<RopeShape> rope;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_CASE_H_
