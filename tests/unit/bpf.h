/* bpf - runs a seccomp program as the kernel would, for tests of what filters answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sandbox/spec.h"

/* The answer (SECCOMP_RET_*), or UINT32_MAX when the program is not one the kernel would take. *steps counts instructions. */
static inline uint32_t bpf_run(const struct spec_bpf *insns, size_t n, const struct seccomp_data *data, unsigned *steps)
{
	uint32_t acc = 0;
	for (size_t pc = 0; pc < n; pc++) {
		const struct spec_bpf *i = &insns[pc];
		bool yes = false;
		++*steps;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 || i->k + 4 > sizeof(*data))
				return UINT32_MAX;
			memcpy(&acc, (const char *)data + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = acc == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = acc >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = acc > i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = acc & i->k;
			break;
		default:
			return UINT32_MAX;
		}
		pc += yes ? i->jt : i->jf;
	}
	return UINT32_MAX;
}
