// Uses the installed package; right where nobody answers, the client says so.
#include <cstdio>

#include "chunkkv/client/client.h"
#include "chunkkv/kernels/status.h"
#include "service/format/prompt_key.h"

int main() {
  const std::vector<uint32_t> tokens = {1, 2, 3};
  const chunkkv::PromptDigests digests = chunkkv::DigestPrompt(tokens, {});
  const auto client =
      chunkkv::client::Client::Connect("127.0.0.1:1", {.connect_timeout = std::chrono::milliseconds(200)});
  const bool is_right = digests.digests.size() == 1 && !client.ok() && absl::IsUnavailable(client.status()) &&
                        chunkkv::StatusReason(client.status()) == "NOT_CONNECTED";
  std::printf("%s\n", client.status().ToString().c_str());
  return is_right ? 0 : 1;
}
