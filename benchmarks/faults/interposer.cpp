// Stands between a process and its C library, so that it sees another wall clock or a disk that fails.
//
// Preloaded; a control file, which anybody may write at any time, says what is broken. The monotonic clock stays
// what it is, as it does when an administrator sets a machine's time. Waits that end at an instant of the wall
// clock are cut into slices, because the kernel would count them by the clock that was not changed: a condition
// variable and a futex may wake without a reason, and whoever waits on one asks again.

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr std::int64_t SECOND = 1'000'000'000;
constexpr std::int64_t SLICE = SECOND / 20;
// Deadlines below it are of the monotonic clock: no machine has been up for thirty years.
constexpr std::int64_t WALL_FROM_S = 1'000'000'000;
constexpr std::int64_t FAIL_WRITE = 1;
constexpr std::int64_t FAIL_SYNC = 2;

struct Control {
  std::atomic<std::int64_t> offset_s;
  std::atomic<std::int64_t> failing;
  std::atomic<std::int64_t> error;
};

template <typename Function>
Function next(const char* name, const char* version = nullptr) {
  void* found = version == nullptr ? nullptr : dlvsym(RTLD_NEXT, name, version);
  return reinterpret_cast<Function>(found == nullptr ? dlsym(RTLD_NEXT, name) : found);
}

const Control& control() {
  static const Control* mapped = [] {
    const char* path = std::getenv("FAULTS_CONTROL");
    const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void* place = mmap(nullptr, sizeof(Control), PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || place == MAP_FAILED) std::abort();
    close(file);
    return static_cast<const Control*>(place);
  }();
  return *mapped;
}

std::int64_t offset_s() { return control().offset_s.load(std::memory_order_relaxed); }

int read_clock(clockid_t clock, timespec* now) {
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  return real(clock, now);
}

std::int64_t to_ns(const timespec& time) { return time.tv_sec * SECOND + time.tv_nsec; }

timespec to_time(std::int64_t ns) { return {ns / SECOND, ns % SECOND}; }

// A wait until an instant of the changed clock, as the kernel's clock counts it, and no longer than a slice.
struct Wait {
  explicit Wait(const timespec& until) : until_ns(to_ns(until)) {
    timespec now;
    read_clock(CLOCK_REALTIME, &now);
    const std::int64_t own = until_ns - offset_s() * SECOND, slice = to_ns(now) + SLICE;
    end = to_time(own < 0 ? 0 : own < slice ? own : slice);
  }
  bool over() const {
    timespec now;
    read_clock(CLOCK_REALTIME, &now);
    return to_ns(now) + offset_s() * SECOND >= until_ns;
  }
  std::int64_t until_ns;
  timespec end;
};

// Tells whether a call on a file must fail: one under the folder that is named, while the control says so.
bool fails(int file, std::int64_t kind) {
  if ((control().failing.load(std::memory_order_relaxed) & kind) == 0) return false;
  static const char* folder = std::getenv("FAULTS_FOLDER");
  char link[32], path[4096];
  std::strcpy(link, "/proc/self/fd/");
  int digits = 14;
  for (int power = 1'000'000; power > 0; power /= 10)
    if (file >= power || power == 1) link[digits++] = static_cast<char>('0' + file / power % 10);
  link[digits] = 0;
  const ssize_t length = readlink(link, path, sizeof path);
  const std::size_t named = folder == nullptr ? 0 : std::strlen(folder);
  if (named == 0 || length < static_cast<ssize_t>(named) || std::strncmp(path, folder, named) != 0) return false;
  errno = static_cast<int>(control().error.load(std::memory_order_relaxed));
  return true;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) {
  const int status = read_clock(clock, now);
  if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset_s();
  return status;
}

int gettimeofday(timeval* now, void*) {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  *now = {time.tv_sec, time.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* out) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  using Function = int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  static const auto real = next<Function>("pthread_cond_timedwait", "GLIBC_2.3.2");
  if (until->tv_sec < WALL_FROM_S) return real(condition, mutex, until);
  const Wait wait(*until);
  const int status = real(condition, mutex, &wait.end);
  return status == ETIMEDOUT && !wait.over() ? 0 : status;
}

int sem_timedwait(sem_t* semaphore, const timespec* until) {
  static const auto real = next<int (*)(sem_t*, const timespec*)>("sem_timedwait");
  while (true) {
    const Wait wait(*until);
    if (real(semaphore, &wait.end) == 0) return 0;
    if (errno != ETIMEDOUT || wait.over()) return -1;
  }
}

long syscall(long number, ...) {
  static const auto real = next<long (*)(long, ...)>("syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& each : a) each = va_arg(list, long);
  va_end(list);
  const auto* until = reinterpret_cast<const timespec*>(a[3]);
  const bool wall = number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) != 0 && until != nullptr;
  if (!wall) return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const Wait wait(*until);
  const long status = real(number, a[0], a[1], a[2], reinterpret_cast<long>(&wait.end), a[4], a[5]);
  if (status == -1 && errno == ETIMEDOUT && !wait.over()) errno = EINTR;
  return status;
}

ssize_t write(int file, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return fails(file, FAIL_WRITE) ? -1 : real(file, data, size);
}

ssize_t pwrite(int file, const void* data, size_t size, off_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return fails(file, FAIL_WRITE) ? -1 : real(file, data, size, at);
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return fails(file, FAIL_WRITE) ? -1 : real(file, data, size, at);
}

int fsync(int file) {
  static const auto real = next<int (*)(int)>("fsync");
  return fails(file, FAIL_SYNC) ? -1 : real(file);
}

int fdatasync(int file) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return fails(file, FAIL_SYNC) ? -1 : real(file);
}

}  // extern "C"
