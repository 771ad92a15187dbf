#include "kernels/c/last_error.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "chunkkv/kernels/status.h"

namespace chunkkv::c {
namespace {

// Of a fixed size, so that noting an error never allocates and never fails.
struct LastError {
  char reason[64] = "";
  char message[1024] = "";
};

thread_local LastError last_error;

template <size_t kSize>
void Copy(std::string_view text, char (&to)[kSize]) {
  const size_t length = std::min(text.size(), kSize - 1);
  std::copy_n(text.data(), length, to);
  to[length] = '\0';
}

}  // namespace

chunkkv_code Leave(const absl::Status& status) noexcept {
  Copy(StatusReason(status), last_error.reason);
  Copy(std::string_view(status.message().data(), status.message().size()), last_error.message);
  return static_cast<chunkkv_code>(status.code());
}

chunkkv_code LeaveOutOfMemory() noexcept {
  Copy("OUT_OF_MEMORY", last_error.reason);
  Copy("the host has no memory left", last_error.message);
  return CHUNKKV_RESOURCE_EXHAUSTED;
}

chunkkv_code LeaveException(const char* what) noexcept {
  Copy("EXCEPTION", last_error.reason);
  Copy(what, last_error.message);
  return CHUNKKV_INTERNAL;
}

}  // namespace chunkkv::c

const char* chunkkv_last_reason(void) { return chunkkv::c::last_error.reason; }

const char* chunkkv_last_message(void) { return chunkkv::c::last_error.message; }

uint32_t chunkkv_abi_version(void) { return CHUNKKV_KERNELS_ABI_VERSION; }
