#ifndef CHUNKKV_KERNELS_SIMT_EMULATION_FIBER_H_
#define CHUNKKV_KERNELS_SIMT_EMULATION_FIBER_H_

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <memory>

namespace chunkkv::simt::emulation {

// A thread of execution that runs when it is resumed and stops where it yields. Sanitizers are told of each switch.
// One fiber may be started many times, one body after the other.
class Fiber {
 public:
  using Body = void (*)(void* argument);

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the fiber ready to run body(argument) at its next Resume. The one before has ended.
  void Start(Body body, void* argument);

  // Runs the fiber until it yields or its body ends. Not from inside a fiber.
  void Resume();

  // Back to who resumed the fiber. From inside its body only.
  void Yield();

  bool HasEnded() const { return has_ended_; }

 private:
  static void Enter(boost::context::detail::transfer_t transfer);

  std::unique_ptr<std::byte[]> stack_;
  boost::context::detail::fcontext_t inside_ = nullptr;
  boost::context::detail::fcontext_t outside_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool has_ended_ = true;
  // Sanitizers' state of the two sides.
  void* fake_stack_inside_ = nullptr;
  void* fake_stack_outside_ = nullptr;
  const void* outside_bottom_ = nullptr;
  size_t outside_bytes_ = 0;
  void* tsan_inside_ = nullptr;
  void* tsan_outside_ = nullptr;
};

// Fibers that have ended are kept, a thread's own, for what runs next: their stacks are large.
std::unique_ptr<Fiber> TakeFiber();
void KeepFiber(std::unique_ptr<Fiber> fiber);

}  // namespace chunkkv::simt::emulation

#endif  // CHUNKKV_KERNELS_SIMT_EMULATION_FIBER_H_
