// What a call of the C interface leaves for its thread, and the border that no exception crosses.
#ifndef CHUNKKV_KERNELS_C_LAST_ERROR_H_
#define CHUNKKV_KERNELS_C_LAST_ERROR_H_

#include <exception>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "chunkkv/kernels.h"

namespace chunkkv::c {

// Notes `status` as this thread's last and returns its code.
chunkkv_code Leave(const absl::Status& status) noexcept;
chunkkv_code LeaveOutOfMemory() noexcept;
chunkkv_code LeaveException(const char* what) noexcept;

// The code of what `body` returns or throws.
template <typename Body>
chunkkv_code Guarded(Body&& body) noexcept {
  try {
    return Leave(std::forward<Body>(body)());
  } catch (const std::bad_alloc&) {
    return LeaveOutOfMemory();
  } catch (const std::exception& error) {
    return LeaveException(error.what());
  } catch (...) {
    return LeaveException("unknown exception");
  }
}

}  // namespace chunkkv::c

#endif  // CHUNKKV_KERNELS_C_LAST_ERROR_H_
