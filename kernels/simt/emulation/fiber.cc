#include "kernels/simt/emulation/fiber.h"

#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace chunkkv::simt::emulation {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStackBytes = 256 << 10;

void BeforeSwitch(void** fake_stack, const void* bottom, size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}
void AfterSwitch(void* fake_stack, const void** bottom, size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}
#else
constexpr size_t kStackBytes = 64 << 10;

void BeforeSwitch(void**, const void*, size_t) {}
void AfterSwitch(void*, const void**, size_t*) {}
#endif

#ifdef __SANITIZE_THREAD__
void* CreateTsanFiber() { return __tsan_create_fiber(0); }
void DestroyTsanFiber(void* fiber) { __tsan_destroy_fiber(fiber); }
void* CurrentTsanFiber() { return __tsan_get_current_fiber(); }
void SwitchTsanFiber(void* fiber) { __tsan_switch_to_fiber(fiber, 0); }
#else
void* CreateTsanFiber() { return nullptr; }
void DestroyTsanFiber(void*) {}
void* CurrentTsanFiber() { return nullptr; }
void SwitchTsanFiber(void*) {}
#endif

thread_local std::vector<std::unique_ptr<Fiber>> kept_fibers;

}  // namespace

std::unique_ptr<Fiber> TakeFiber() {
  if (kept_fibers.empty()) return std::make_unique<Fiber>();
  std::unique_ptr<Fiber> fiber = std::move(kept_fibers.back());
  kept_fibers.pop_back();
  return fiber;
}

void KeepFiber(std::unique_ptr<Fiber> fiber) { kept_fibers.push_back(std::move(fiber)); }

Fiber::Fiber() : stack_(new std::byte[kStackBytes]), tsan_inside_(CreateTsanFiber()) {}

Fiber::~Fiber() { DestroyTsanFiber(tsan_inside_); }

void Fiber::Start(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  has_ended_ = false;
  if (inside_ == nullptr) inside_ = make_fcontext(stack_.get() + kStackBytes, kStackBytes, &Fiber::Enter);
}

void Fiber::Resume() {
  tsan_outside_ = CurrentTsanFiber();
  BeforeSwitch(&fake_stack_outside_, stack_.get(), kStackBytes);
  SwitchTsanFiber(tsan_inside_);
  inside_ = jump_fcontext(inside_, this).fctx;
  AfterSwitch(fake_stack_outside_, nullptr, nullptr);
}

void Fiber::Yield() {
  BeforeSwitch(&fake_stack_inside_, outside_bottom_, outside_bytes_);
  SwitchTsanFiber(tsan_outside_);
  outside_ = jump_fcontext(outside_, nullptr).fctx;
  AfterSwitch(fake_stack_inside_, &outside_bottom_, &outside_bytes_);
}

void Fiber::Enter(transfer_t transfer) {
  auto* fiber = static_cast<Fiber*>(transfer.data);
  fiber->outside_ = transfer.fctx;
  AfterSwitch(nullptr, &fiber->outside_bottom_, &fiber->outside_bytes_);
  // One life for all bodies: a sanitizer makes a stack of its own for each.
  while (true) {
    fiber->body_(fiber->argument_);
    fiber->has_ended_ = true;
    fiber->Yield();
  }
}

}  // namespace chunkkv::simt::emulation
