// Tensors of the golden vectors: reads safetensors files that the tree itself holds, and trusts them.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_FILE_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_FILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace chunkkv::testing {

struct GoldenTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

struct GoldenFile {
  std::map<std::string, GoldenTensor> tensors;
  std::map<std::string, std::string> metadata;
};

GoldenFile ReadGoldenFile(const std::string& path);

std::string ReadText(const std::string& path);

// Paths in `folder` (from tests/golden) that end with `suffix`, without the suffix, ascending.
std::vector<std::string> GoldenStems(const std::string& folder, const std::string& suffix);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_GOLDEN_FILE_H_
