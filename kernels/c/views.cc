#include "kernels/c/views.h"

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/dtype.h"
#include "kernels/c/read_struct.h"
#include "kernels/common/bad_task.h"
#include "kernels/common/check_dimensions.h"

namespace chunkkv::c {

absl::Status ReadPlace(chunkkv_memory_kind kind, int32_t device, absl::string_view name, MemoryPlace* to) {
  switch (kind) {
    case CHUNKKV_HOST:
      *to = {MemoryKind::kHost, -1};
      return absl::OkStatus();
    case CHUNKKV_PINNED:
      *to = {MemoryKind::kPinned, -1};
      return absl::OkStatus();
    case CHUNKKV_DEVICE:
      *to = {MemoryKind::kDevice, device};
      return absl::OkStatus();
  }
  return InvalidArgument("BAD_MEMORY_KIND", absl::StrCat(name, ".memory_kind ", kind, " is none of this library's"));
}

absl::Status ReadRows(const chunkkv_rows* from, absl::string_view name, MutableRowsView* to) {
  chunkkv_rows rows;
  if (absl::Status status = ReadStruct(from, name, &rows); !status.ok()) return status;
  if (absl::Status status = ReadDType(rows.dtype, name, &to->dtype); !status.ok()) return status;
  if (absl::Status status = ReadPlace(rows.memory_kind, rows.device, name, &to->place); !status.ok()) return status;
  to->data = static_cast<std::byte*>(rows.data);
  to->token_count = rows.token_count;
  to->head_count = rows.head_count;
  to->head_size = rows.head_size;
  to->token_stride_bytes = rows.token_stride_bytes;
  to->head_stride_bytes = rows.head_stride_bytes;
  to->block_ids = rows.block_ids;
  to->block_token_count = rows.block_token_count;
  to->block_count = rows.block_count;
  to->block_stride_bytes = rows.block_stride_bytes;
  if (absl::Status status = CheckDimensions(*to, name); !status.ok()) return status;
  const int64_t blocks_named =
      to->IsPaged() ? (rows.token_count + rows.block_token_count - 1) / rows.block_token_count : 0;
  if (rows.block_id_count >= blocks_named) return absl::OkStatus();
  return BadTask(name, absl::StrCat(rows.block_id_count, " block_ids for ", blocks_named, " blocks of tokens"));
}

absl::Status ReadRows(const chunkkv_rows* from, absl::string_view name, RowsView* to) {
  MutableRowsView rows;
  if (absl::Status status = ReadRows(from, name, &rows); !status.ok()) return status;
  *to = {rows.data,
         rows.dtype,
         rows.token_count,
         rows.head_count,
         rows.head_size,
         rows.token_stride_bytes,
         rows.head_stride_bytes,
         rows.place,
         rows.block_ids,
         rows.block_token_count,
         rows.block_count,
         rows.block_stride_bytes};
  return absl::OkStatus();
}

absl::Status ReadDense(const chunkkv_dense* from, absl::string_view name, int64_t element_count, DenseView* to) {
  chunkkv_dense dense;
  if (absl::Status status = ReadStruct(from, name, &dense); !status.ok()) return status;
  if (absl::Status status = ReadDType(dense.dtype, name, &to->dtype); !status.ok()) return status;
  if (absl::Status status = ReadPlace(dense.memory_kind, dense.device, name, &to->place); !status.ok()) return status;
  if (dense.element_count != element_count) {
    return BadTask(name, absl::StrCat("has ", dense.element_count, " elements, not ", element_count));
  }
  to->data = static_cast<const std::byte*>(dense.data);
  return absl::OkStatus();
}

absl::Status ReadPositions(const int32_t* positions, uint64_t count, absl::string_view name,
                           absl::Span<const int32_t>* to) {
  *to = {positions, static_cast<size_t>(count)};
  return CheckPositions(*to, name);
}

absl::Status CheckBytes(uint64_t bytes, uint64_t row_count, const RowsView& rows, absl::string_view name) {
  // Counts, heads and head sizes are within the limits: the product stays inside 64 bits.
  const uint64_t needed = row_count * static_cast<uint64_t>(rows.head_count) * static_cast<uint64_t>(rows.head_size) *
                          DTypeSize(rows.dtype);
  if (bytes >= needed) return absl::OkStatus();
  return BadTask(name, absl::StrCat("has ", bytes, " bytes for ", row_count, " rows of ", needed, " bytes together"));
}

}  // namespace chunkkv::c
