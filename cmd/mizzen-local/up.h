// Starting, serving from outside, and stopping a cluster.
#pragma once

#include <string>

namespace mizzen::local {

struct UpOptions {
  bool demo = false;  // Bookinfo too
  bool bare = false;  // neither mesh nor demo
  int timeout_seconds = 180;
};

// Each is a command; the program's exit code.
int up(const UpOptions& options);
int down();
// First process of the sandbox; descriptor 3 leads outside.
int inside(const UpOptions& options, const std::string& ids);

}  // namespace mizzen::local
