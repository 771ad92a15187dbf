#include "kernels/cpu/digest.h"

#include <algorithm>

#include "kernels/common/lanes.h"

// Chooses the best instruction set at run time; replaces the XXH3 functions by macros.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

namespace chunkkv::cpu {
namespace {

constexpr size_t kPieceBytes = 16 * kDigestBlockBytes;

size_t PieceCount(const DigestTask& task) {
  return (static_cast<size_t>(task.size_bytes) + kPieceBytes - 1) / kPieceBytes;
}

void DigestPiece(const DigestTask& task, size_t piece) {
  const auto size = static_cast<size_t>(task.size_bytes);
  const size_t end = std::min(size, (piece + 1) * kPieceBytes);
  for (size_t begin = piece * kPieceBytes; begin < end; begin += kDigestBlockBytes) {
    task.block_digests[begin / kDigestBlockBytes] =
        XXH3_64bits(task.data + begin, std::min(kDigestBlockBytes, size - begin));
  }
}

}  // namespace

absl::Status DigestAll(absl::Span<const DigestTask> tasks, const ExecutionContext& context) {
  size_t pieces = 0;  // of the task that has most; the others leave some of theirs empty
  for (const DigestTask& task : tasks) pieces = std::max(pieces, PieceCount(task));
  const bool complete = RunInLanes(context, tasks.size() * pieces, [&](size_t piece, size_t) {
    DigestPiece(tasks[piece / pieces], piece % pieces);
    return true;
  });
  return complete ? absl::OkStatus() : CancelledStatus();
}

}  // namespace chunkkv::cpu
