// A prompt file's tensors as compaction takes them.
#ifndef CHUNKKV_CLIENT_CLI_FILE_VIEWS_H_
#define CHUNKKV_CLIENT_CLI_FILE_VIEWS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "chunkkv/kernels/tensor_view.h"
#include "client/cli/prompt_file.h"

namespace chunkkv::cli {

// Views point into the file, or into copies held here where the file does not align a tensor to its elements; file and
// FileViews must outlive them.
class FileViews {
 public:
  explicit FileViews(const PromptFile& file) : file_(file) {}

  RowsView Rows(const SafetensorsTensor& tensor);  // of a per-token tensor
  DenseView Dense(const SafetensorsTensor& tensor);
  const float* Floats(const SafetensorsTensor& tensor);  // of F32

 private:
  const std::byte* Aligned(const SafetensorsTensor& tensor, size_t alignment);

  const PromptFile& file_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_FILE_VIEWS_H_
