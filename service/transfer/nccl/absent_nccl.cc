#include "chunkkv/kernels/status.h"
#include "service/transfer/nccl/nccl_library.h"

namespace chunkkv {

absl::StatusOr<std::unique_ptr<NcclLibrary>> LoadNccl(const std::string&) {
  return Unimplemented("NCCL_NOT_BUILT", "nccl: this server was built without NCCL's header");
}

}  // namespace chunkkv
