#include "chunkkv/kernels/compactor.h"

namespace chunkkv {
namespace {

absl::Span<const int32_t> Within(absl::Span<const int32_t> ascending, int64_t begin, int64_t end) {
  size_t first = 0;
  while (first < ascending.size() && ascending[first] < begin) ++first;
  size_t last = first;
  while (last < ascending.size() && ascending[last] < end) ++last;
  return ascending.subspan(first, last - first);
}

double Jaccard(absl::Span<const int32_t> a, absl::Span<const int32_t> b) {
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) {
      ++common, ++i, ++j;
    } else if (a[i] < b[j]) {
      ++i;
    } else {
      ++j;
    }
  }
  const size_t joined = a.size() + b.size() - common;
  return joined == 0 ? 1.0 : static_cast<double>(common) / static_cast<double>(joined);
}

}  // namespace

std::vector<double> AdjacentJaccard(absl::Span<const absl::Span<const int32_t>> positions, int64_t sink_tokens,
                                    int64_t past_length) {
  std::vector<double> similarity;
  for (size_t group = 1; group < positions.size(); ++group) {
    similarity.push_back(Jaccard(Within(positions[group - 1], sink_tokens, past_length),
                                 Within(positions[group], sink_tokens, past_length)));
  }
  return similarity;
}

}  // namespace chunkkv
