// Random bytes of the operating system, fit for ids and secrets that nobody may guess.
#ifndef CHUNKKV_SERVICE_BASE_RANDOM_H_
#define CHUNKKV_SERVICE_BASE_RANDOM_H_

#include <cstddef>

namespace chunkkv {

// Thread-safe. Aborts where the system has no randomness to give: ids would not be unique.
void FillRandom(void* bytes, size_t size);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_BASE_RANDOM_H_
