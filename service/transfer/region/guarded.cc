#include "service/transfer/region/guarded.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <csetjmp>

#include "service/base/check.h"

namespace chunkkv {
namespace {

// What the calling thread is doing inside RunGuarded. Plain data: a signal handler reads it.
struct Guard {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  sigjmp_buf escape;
};

thread_local Guard* volatile current_guard = nullptr;

struct sigaction previous_action;

void OnBusError(int number, siginfo_t* info, void* context) {
  Guard* const guard = current_guard;
  const auto* const address = static_cast<const std::byte*>(info->si_addr);
  if (guard != nullptr && address >= guard->begin && address < guard->end) {
    // As it was at the fault: a jump leaves blocked what is blocked here.
    pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(guard->escape, 1);
  }
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) return previous_action.sa_sigaction(number, info, context);
  if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    return previous_action.sa_handler(number);
  }
  // The faulting instruction runs again, and ends the process.
  struct sigaction fatal = {};
  fatal.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &fatal, nullptr);
}

bool InstallHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  CHUNKKV_CHECK(sigaction(SIGBUS, &action, &previous_action) == 0);
  return true;
}

}  // namespace

bool RunGuarded(absl::Span<const std::byte> mapping, void (*work)(void* context), void* context) {
  [[maybe_unused]] static const bool installed = InstallHandler();
  CHUNKKV_CHECK(current_guard == nullptr);
  Guard guard;
  guard.begin = mapping.data();
  guard.end = mapping.data() + mapping.size();
  if (sigsetjmp(guard.escape, /*savemask=*/0) != 0) {
    current_guard = nullptr;
    return false;
  }
  current_guard = &guard;
  work(context);
  current_guard = nullptr;
  return true;
}

}  // namespace chunkkv
