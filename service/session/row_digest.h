// Digests of tensors, computed on the executor while the next bytes arrive.
#ifndef CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_
#define CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_

#include <functional>

#include "absl/types/span.h"
#include "chunkkv/kernels/tensor_view.h"
#include "service/format/bytes.h"

namespace chunkkv {

// Of dense bytes. Looks at `cancelled` every few milliseconds; the result of a cancelled digest means nothing.
Bytes16 DigestBytes(absl::Span<const std::byte> bytes, const std::function<bool()>& cancelled);

// Of the same rows in token-major order, whatever their strides.
Bytes16 DigestRows(const RowsView& rows, const std::function<bool()>& cancelled);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_
