// What all parts of one worker's upstream half share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/loop.h"
#include "io/resolver.h"
#include "proxy/config/snapshot.h"
#include "proxy/tls_contexts.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy::upstream {

struct Context {
  io::Loop& loop;
  std::shared_ptr<SharedLimits> limits;
  TlsContexts& contexts;
  const void* worker = nullptr;  // who we are to SharedLimits
  SnapshotRef snapshot{};
  std::string metadata{};
  std::string node_id{};
  std::unique_ptr<io::Resolver> resolver{};  // made when first needed
  std::uint64_t random_state = 1;
  bool draining = false;

  std::uint64_t random() {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dU;
  }
};

}  // namespace mizzen::proxy::upstream
