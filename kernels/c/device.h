// An implementation by name, shared with the contexts that run on it.
#ifndef CHUNKKV_KERNELS_C_DEVICE_H_
#define CHUNKKV_KERNELS_C_DEVICE_H_

#include <memory>

#include "chunkkv/kernels.h"
#include "chunkkv/kernels/compactor.h"

struct chunkkv_device {
  std::shared_ptr<const chunkkv::Compactor> compactor;
  bool is_cuda = false;
};

#endif  // CHUNKKV_KERNELS_C_DEVICE_H_
