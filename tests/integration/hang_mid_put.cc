// A client that dies in the middle of a put: sends a part of one, says "ready" and hangs until it is killed.
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <cstdio>

#include "tests/support/put_client.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const chunkkv::PutRequest request = chunkkv::SmallRequest();
  const chunkkv::Prompt prompt = chunkkv::MakePrompt(request);
  chunkkv::PutClient client(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  if (!client.Begin(request)) return 1;
  client.SendLayer(request, prompt, 0, 20);
  client.SendScores(request, prompt, 1);
  std::puts("ready");
  std::fflush(stdout);
  while (true) pause();
}
