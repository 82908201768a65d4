/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "vmm/probe.h"

struct fixture {
	char *dir;
	char *kvm;
	char *cpuinfo;
	struct probe_paths paths;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	f->kvm = xasprintf("%s/kvm", f->dir);
	f->cpuinfo = xasprintf("%s/cpuinfo", f->dir);
	f->paths = (struct probe_paths){f->kvm, f->cpuinfo};
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	temp_teardown((void **)&f->dir);
	free(f->kvm);
	free(f->cpuinfo);
	free(f);
	return 0;
}

static void test_missing(void **state)
{
	struct fixture *f = *state;
	char reason[PROBE_REASON_MAX];

	assert_false(probe_kvm(&f->paths, reason));
	assert_string_equal(reason, "this host has no /dev/kvm");
}

static void test_not_permitted(void **state)
{
	struct fixture *f = *state;
	char reason[PROBE_REASON_MAX];

	put_file(f->kvm, "");
	assert_int_equal(chmod(f->kvm, 0), 0);
	if (geteuid() == 0)
		skip();
	assert_false(probe_kvm(&f->paths, reason));
	assert_non_null(strstr(reason, "may not be opened"));
}

static bool with_flags(struct fixture *f, const char *cpuinfo, char reason[PROBE_REASON_MAX])
{
	put_file(f->kvm, "");
	put_file(f->cpuinfo, cpuinfo);
	return probe_kvm(&f->paths, reason);
}

static void test_cpu(void **state)
{
	char reason[PROBE_REASON_MAX];

	assert_true(with_flags(*state, "processor\t: 0\nflags\t\t: fpu vmx sse\n", reason));
	assert_string_equal(reason, "");
	assert_true(with_flags(*state, "flags\t\t: svm\n", reason));
	assert_true(with_flags(*state, "flags\t\t: fpu sse svm", reason));
	/* Words that only contain the names, and the list of what VMX itself can do. */
	assert_false(
		with_flags(*state, "flags\t\t: fpu svm_lock vmxnet\nvmx flags\t: vmx\n", reason));
	assert_non_null(strstr(reason, "neither vmx nor svm"));
	assert_false(with_flags(*state, "", reason));
}

static void test_no_cpuinfo(void **state)
{
	struct fixture *f = *state;
	char reason[PROBE_REASON_MAX];

	put_file(f->kvm, "");
	assert_false(probe_kvm(&f->paths, reason));
	assert_non_null(strstr(reason, "/proc/cpuinfo"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_missing),
		CASE(test_not_permitted),
		CASE(test_cpu),
		CASE(test_no_cpuinfo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
