#include "cli/local_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "cli/commands.h"

namespace mizzen::cli {
namespace {

std::string folder_of_this_program() {
  std::array<char, 4096> path{};
  ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  std::string whole(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return whole.substr(0, whole.rfind('/') + 1);
}

int end_of(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

int become_local(const std::vector<std::string>& arguments) {
  std::string program = folder_of_this_program() + "mizzen-local";
  std::vector<std::string> words = {program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  execv(program.c_str(), argv.data());
  return complain(errno_error("cannot run " + program, errno));
}

int run_local(const std::vector<std::string>& arguments) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return complain(errno_error("fork", errno));
  if (pid == 0) _exit(become_local(arguments));
  return end_of(pid);
}

Result<std::string> ask_local(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(errno_error("pipe", errno));
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return std::unexpected(errno_error("fork", errno));
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    _exit(become_local(arguments));
  }
  close(ends[1]);
  std::string out;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = read(ends[0], buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(got));
  close(ends[0]);
  if (const int code = end_of(pid); code != 0)
    return fail(Code::kInternal, fmt::format("mizzen-local {} failed", arguments.front()));
  return out;
}

}  // namespace mizzen::cli
