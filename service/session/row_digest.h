// Digests of rows, computed on the executor while the next bytes arrive.
#ifndef CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_
#define CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_

#include "chunkkv/kernels/tensor_view.h"
#include "service/format/bytes.h"
#include "service/transfer/cancellable_bytes.h"

namespace chunkkv {

// Of the rows in token-major order, whatever their strides; otherwise as DigestBytes. `cancelled` must be set.
Bytes16 DigestRows(const RowsView& rows, const Cancelled& cancelled);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_ROW_DIGEST_H_
