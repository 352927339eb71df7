/* true - the smallest payload: static, ends at once with 0. What a start costs is then the start. */
int main(void)
{
	return 0;
}
