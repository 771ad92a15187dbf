#include "service/base/random.h"

#include <errno.h>
#include <sys/random.h>

#include <cstdio>
#include <cstdlib>

namespace chunkkv {

void FillRandom(void* bytes, size_t size) {
  char* to = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t got = getrandom(to, size, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      std::perror("getrandom");
      std::abort();
    }
    to += got;
    size -= static_cast<size_t>(got);
  }
}

}  // namespace chunkkv
