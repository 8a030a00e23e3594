// The short pass of a fuzzer that every test run makes: its seeds, and damaged copies of them. The
// long one is `./dev fuzz`.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

namespace mizzen {

using FuzzTarget = int (*)(const std::uint8_t* data, std::size_t size);

// One or a few wounds: bytes changed, cut out, put in or doubled.
inline std::string damaged(std::string text, std::mt19937& random) {
  const std::size_t wounds = 1 + random() % 4;
  for (std::size_t i = 0; i < wounds && !text.empty(); ++i) {
    const std::size_t at = random() % text.size();
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + random() % 16);
        break;
      case 2:
        text.insert(at, 1 + random() % 4, static_cast<char>(random()));
        break;
      case 3:
        text.insert(at, text.substr(random() % text.size(), random() % 64));
        break;
      default:
        text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
    }
  }
  return text;
}

// Every file of `folder` and `rounds` damaged copies of each; MIZZEN_SEED repeats a run.
inline void run_corpus(const char* folder, FuzzTarget target, int rounds = 100) {
  const char* given = std::getenv("MIZZEN_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
  std::printf("MIZZEN_SEED=%u\n", seed);
  std::fflush(stdout);
  std::mt19937 random(seed);
  const auto run = [target](const std::string& text) {
    (void)target(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  int seeds = 0;
  run({});
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    const std::string text = content.str();
    run(text);
    for (int i = 0; i < rounds; ++i) run(damaged(text, random));
    ++seeds;
  }
  EXPECT_GT(seeds, 0) << folder << ": a fuzzer needs seeds";
}

}  // namespace mizzen
