#include "service/rpc/version.h"

namespace chunkkv::rpc {

const char* const kServerVersion = CHUNKKV_VERSION;

}  // namespace chunkkv::rpc
